package salience;

/** The event of the workload with three tests on one event. */
public final class Viewed {
    private final String category;
    private final int price;
    private final int size;

    public Viewed(String category, int price, int size) {
        this.category = category;
        this.price = price;
        this.size = size;
    }

    public String getCategory() {
        return category;
    }

    public int getPrice() {
        return price;
    }

    public int getSize() {
        return size;
    }
}
