import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/** What RE2/J, which Kafka uses, says: each line is an expression and texts; the answer a digit a text, or X. */
public class Expressions {
    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\u0001", -1);
            StringBuilder answer = new StringBuilder();
            try {
                Pattern pattern = Pattern.compile(parts[0]);
                for (int i = 1; i < parts.length; i++) {
                    answer.append(pattern.matcher(parts[i]).matches() ? '1' : '0');
                }
            } catch (PatternSyntaxException e) {
                answer.append('X');
            }
            System.out.println(answer);
        }
    }
}
