package salience;

import org.kie.api.definition.type.Role;
import org.kie.api.definition.type.Timestamp;

/** An event; the rules look only at its time. */
@Role(Role.Type.EVENT)
@Timestamp("ts")
public final class Purchase {
    private final long ts;

    public Purchase(long ts) {
        this.ts = ts;
    }

    public long getTs() {
        return ts;
    }
}
