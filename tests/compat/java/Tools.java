import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main classes of Kafka's command-line tools one after another in one JVM: a JVM for each would cost a second.
 * A line {"do": class, "args": [...], "stdin": text} is answered with {"ok": {"status", "out", "err"}}.
 */
public final class Tools {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What the running tool exited with first: some catch what ends them and exit once more. */
    private static Integer exited;
    private static final List<Runnable> HOOKS = new ArrayList<>();

    private static final class Exited extends RuntimeException {
        Exited(int status) {
            super("exit " + status, null, false, false);
        }
    }

    public static void main(String[] ignored) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> {
            if (exited == null) exited = status;
            throw new Exited(status);
        });
        // A tool's exit ends the tool, not the JVM; so its shutdown hooks, which flush and close, are run by hand.
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        System.setOut(System.err);
        answers.println("{\"ok\":\"ready\"}");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            JsonNode command = JSON.readTree(line);
            if (command.get("do").asText().equals("close")) break;
            answers.println(JSON.writeValueAsString(Map.of("ok", run(command))));
        }
        Runtime.getRuntime().halt(0);
    }

    private static ObjectNode run(JsonNode command) throws Exception {
        InputStream in = System.in;
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream outBytes = new ByteArrayOutputStream();
        ByteArrayOutputStream errBytes = new ByteArrayOutputStream();
        String[] arguments = JSON.convertValue(command.get("args"), String[].class);
        System.setIn(new ByteArrayInputStream(command.get("stdin").asText().getBytes(StandardCharsets.UTF_8)));
        System.setOut(new PrintStream(outBytes, true));
        System.setErr(new PrintStream(errBytes, true));
        int status;
        exited = null;
        HOOKS.clear();
        try {
            Class.forName(command.get("do").asText()).getMethod("main", String[].class).invoke(null, (Object) arguments);
            status = exited == null ? 0 : exited;
        } catch (InvocationTargetException raised) {
            status = exited == null ? 1 : exited;
            if (!(raised.getCause() instanceof Exited)) raised.getCause().printStackTrace();
        } finally {
            for (Runnable hook : HOOKS) hook.run();
            System.out.flush();
            System.setIn(in);
            System.setOut(out);
            System.setErr(err);
        }
        ObjectNode answer = JSON.createObjectNode();
        answer.put("status", status);
        answer.put("out", outBytes.toString(StandardCharsets.UTF_8));
        answer.put("err", errBytes.toString(StandardCharsets.UTF_8));
        return answer;
    }
}
