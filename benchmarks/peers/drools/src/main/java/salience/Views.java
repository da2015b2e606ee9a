package salience;

/** How many views of a category lie in the window, kept by a rule. */
public final class Views {
    private final String category;
    private int count;

    public Views(String category) {
        this.category = category;
    }

    public String getCategory() {
        return category;
    }

    public int getCount() {
        return count;
    }

    public void setCount(int count) {
        this.count = count;
    }
}
