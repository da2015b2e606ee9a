package salience;

import org.kie.api.definition.type.Role;
import org.kie.api.definition.type.Timestamp;

/** An event; the rules look only at its time. */
@Role(Role.Type.EVENT)
@Timestamp("ts")
public final class CheckoutView {
    private final long ts;

    public CheckoutView(long ts) {
        this.ts = ts;
    }

    public long getTs() {
        return ts;
    }
}
