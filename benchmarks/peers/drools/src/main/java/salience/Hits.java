package salience;

import java.util.Arrays;

/** What fired in one step, by the number of the rule. */
public final class Hits {
    int[] rules = new int[8];
    int count;

    /** Called by the rules. */
    public void add(int rule) {
        if (count == rules.length) {
            rules = Arrays.copyOf(rules, 2 * count);
        }
        rules[count++] = rule;
    }
}
