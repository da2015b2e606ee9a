package salience;

import org.kie.api.definition.type.Role;
import org.kie.api.definition.type.Timestamp;

/** A product was looked at. */
@Role(Role.Type.EVENT)
@Timestamp("ts")
public final class ProductView {
    private final long ts;
    private final String category;

    public ProductView(long ts, String category) {
        this.ts = ts;
        this.category = category;
    }

    public long getTs() {
        return ts;
    }

    public String getCategory() {
        return category;
    }
}
