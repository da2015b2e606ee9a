package salience;

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedWriter;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.drools.model.codegen.ExecutableModelProject;
import org.kie.api.KieBase;
import org.kie.api.KieBaseConfiguration;
import org.kie.api.KieServices;
import org.kie.api.builder.KieBuilder;
import org.kie.api.builder.KieFileSystem;
import org.kie.api.builder.Message;
import org.kie.api.conf.EventProcessingOption;
import org.kie.api.runtime.KieSession;
import org.kie.api.runtime.KieSessionConfiguration;
import org.kie.api.runtime.conf.ClockTypeOption;
import org.kie.api.runtime.rule.FactHandle;
import org.kie.api.time.SessionPseudoClock;

/**
 * Runs a stream through Drools: {@code Main shop|three RULES.drl PASSES (EVENTS.tsv OUT)...}.
 *
 * <p>Each stream is run PASSES times, each time with new sessions; the passes before the last warm the JIT compiler up.
 * Of the last it prints one line of JSON: CPU microseconds an event (of the thread, and of the whole process with its
 * garbage collection), percentiles of single events by the wall clock, bytes a session with all sessions kept. The
 * firings go to OUT, a line {@code seq rule} each, by stream and then rule order.
 */
public final class Main {
    private static final int EVERY = 10;
    private static final OperatingSystemMXBean PROCESS =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final String mode;
    private final KieBase base;
    private final KieSessionConfiguration configuration;
    private final String[][] events;
    private final long[] times;
    private final int sessions;

    private Main(String mode, KieBase base, KieSessionConfiguration configuration, List<String> lines) {
        this.mode = mode;
        this.base = base;
        this.configuration = configuration;
        this.events = lines.stream().map(line -> line.split("\t", -1)).toArray(String[][]::new);
        this.times = Arrays.stream(events).mapToLong(event -> Long.parseLong(event[1])).toArray();
        for (String[] event : events) { // equal texts are one string, as after a JSON decoder with a symbol table
            for (int column = 2; column < event.length; column++) {
                event[column] = event[column].intern();
            }
        }
        this.sessions = Arrays.stream(events).mapToInt(event -> Integer.parseInt(event[0])).max().orElse(0) + 1;
    }

    /** One shopper: a session of Drools, its clock, and the fact that is changed in place. */
    private static final class Kept {
        final KieSession session;
        final SessionPseudoClock clock;
        final Hits hits = new Hits();
        final Shopper shopper = new Shopper();
        final Set<String> seen = new HashSet<>(4);
        FactHandle handle;

        Kept(KieSession session) {
            this.session = session;
            this.clock = session.getSessionClock();
            session.setGlobal("hits", hits);
        }
    }

    public static void main(String[] arguments) throws IOException {
        String mode = arguments[0];
        long began = System.nanoTime();
        KieServices services = KieServices.Factory.get();
        KieFileSystem files = services.newKieFileSystem();
        files.write("src/main/resources/salience/rules.drl", Files.readString(Path.of(arguments[1])));
        KieBuilder builder = services.newKieBuilder(files).buildAll(ExecutableModelProject.class);
        if (builder.getResults().hasMessages(Message.Level.ERROR)) {
            throw new IllegalStateException(builder.getResults().toString());
        }
        KieBaseConfiguration options = services.newKieBaseConfiguration();
        options.setOption(mode.equals("shop") ? EventProcessingOption.STREAM : EventProcessingOption.CLOUD);
        KieBase base = services.newKieContainer(builder.getKieModule().getReleaseId()).newKieBase(options);
        double seconds = (System.nanoTime() - began) / 1e9;
        KieSessionConfiguration configuration = services.newKieSessionConfiguration();
        configuration.setOption(ClockTypeOption.PSEUDO);
        int passes = Integer.parseInt(arguments[2]);
        for (int stream = 3; stream < arguments.length; stream += 2) {
            Main main = new Main(mode, base, configuration, Files.readAllLines(Path.of(arguments[stream])));
            for (int pass = 1; pass < passes; pass++) {
                main.pass(null, 0);
            }
            try (BufferedWriter out = Files.newBufferedWriter(Path.of(arguments[stream + 1]))) {
                main.pass(out, seconds);
            }
        }
    }

    private void pass(BufferedWriter out, double buildSeconds) throws IOException {
        int[][] fired = new int[events.length][];
        long[] spent = new long[events.length / EVERY + 1];
        Kept[] kept = new Kept[sessions];
        long heap = used();
        var threads = ManagementFactory.getThreadMXBean();
        long process = PROCESS.getProcessCpuTime();
        long thread = threads.getCurrentThreadCpuTime();
        boolean shop = mode.equals("shop");
        int measured = 0;
        for (int number = 0; number < events.length; number++) {
            boolean timed = number % EVERY == 0;
            long start = timed ? System.nanoTime() : 0;
            String[] event = events[number];
            int index = Integer.parseInt(event[0]);
            Kept one = kept[index];
            if (one == null) {
                one = kept[index] = new Kept(base.newKieSession(configuration, null));
            }
            if (shop) {
                shop(one, times[number], event);
            } else {
                FactHandle handle = one.session.insert(
                        new Viewed(event[2], Integer.parseInt(event[3]), Integer.parseInt(event[4])));
                one.session.fireAllRules();
                one.session.delete(handle);
            }
            if (one.hits.count > 0) {
                fired[number] = Arrays.copyOf(one.hits.rules, one.hits.count);
                one.hits.count = 0;
            }
            if (timed) {
                spent[measured++] = System.nanoTime() - start;
            }
        }
        thread = threads.getCurrentThreadCpuTime() - thread;
        process = PROCESS.getProcessCpuTime() - process;
        if (out != null) {
            report(out, buildSeconds, fired, thread, process, Arrays.copyOf(spent, measured), used() - heap, kept);
        }
        for (Kept one : kept) {
            if (one != null) {
                one.session.dispose();
            }
        }
    }

    private static void shop(Kept one, long time, String[] event) {
        long ahead = time - one.clock.getCurrentTime();
        if (ahead > 0) {
            one.clock.advanceTime(ahead, TimeUnit.MILLISECONDS);
        }
        if (one.handle == null) {
            one.handle = one.session.insert(one.shopper);
        }
        switch (event[2]) {
            case "product_view" -> {
                if (one.seen.add(event[3])) {
                    one.session.insert(new Views(event[3]));
                }
                one.session.insert(new ProductView(time, event[3]));
            }
            case "checkout_view" -> one.session.insert(new CheckoutView(time));
            case "purchase" -> one.session.insert(new Purchase(time));
            case "cart_add" -> total(one, Integer.parseInt(event[4]));
            case "cart_remove" -> total(one, -Integer.parseInt(event[4]));
            case "identify" -> {
                one.shopper.setTier(event[5]);
                one.session.update(one.handle, one.shopper, "tier");
            }
            default -> { }
        }
        one.session.fireAllRules();
    }

    private static void total(Kept one, int change) {
        one.shopper.setTotal(one.shopper.getTotal() + change);
        one.session.update(one.handle, one.shopper, "total");
    }

    private static long used() {
        Runtime runtime = Runtime.getRuntime();
        for (int turn = 0; turn < 3; turn++) {
            System.gc();
        }
        return runtime.totalMemory() - runtime.freeMemory();
    }

    private void report(
            BufferedWriter out, double buildSeconds, int[][] fired, long thread, long process, long[] spent, long heap, Kept[] kept)
            throws IOException {
        long count = 0;
        for (int number = 0; number < fired.length; number++) {
            if (fired[number] != null) {
                Arrays.sort(fired[number]);
                for (int rule : fired[number]) {
                    out.write(number + " r" + rule + "\n");
                    count++;
                }
            }
        }
        Arrays.sort(spent);
        long live = Arrays.stream(kept).filter(one -> one != null).count();
        Map<String, Object> figures = new HashMap<>();
        figures.put("build_s", buildSeconds);
        figures.put("thread_us", thread / 1e3 / events.length);
        figures.put("process_us", process / 1e3 / events.length);
        figures.put("median_us", spent[spent.length / 2] / 1e3);
        figures.put("p999_us", spent[(int) (spent.length * 0.999)] / 1e3);
        figures.put("session_bytes", (double) heap / live);
        figures.put("firings", (double) count);
        StringBuilder line = new StringBuilder();
        figures.forEach((name, value) -> line.append(line.isEmpty() ? "{" : ", ")
                .append(String.format(Locale.ROOT, "\"%s\": %.3f", name, (double) value)));
        System.out.println(line.append("}"));
    }
}
