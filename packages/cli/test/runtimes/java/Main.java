// What a program of Java does before it does anything: finds its classes, its settings and its system.
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneId;
import java.util.List;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

public class Main {
  public static void main(String[] arguments) throws Exception {
    Path here = Path.of("").toAbsolutePath();
    System.out.println(here + " " + here.toRealPath().equals(here));
    try (var word = Main.class.getResourceAsStream("word.txt")) {
      System.out.print(new String(word.readAllBytes()));
    }
    System.out.print(Files.readString(Path.of("../settings.json")));
    System.out.println(Instant.EPOCH.atZone(ZoneId.of("Europe/Berlin")));
    var trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trusted.init((java.security.KeyStore) null);
    System.out.println(((X509TrustManager) trusted.getTrustManagers()[0]).getAcceptedIssuers().length);
    System.out.println(System.getProperty("user.name") + " " + System.getProperty("java.home"));
    Path scratch = Files.createTempDirectory("runtimes");
    Files.createDirectories(scratch.resolve("made/by"));
    Files.move(Files.writeString(scratch.resolve("a"), "written"), scratch.resolve("made/b"));
    try (var found = Files.list(scratch.resolve("made"))) {
      System.out.println(found.map(Path::getFileName).map(Path::toString).sorted().toList());
    }
    for (String name : List.of("made/b", "made/by", "made", "")) Files.delete(scratch.resolve(name));
    var child = new ProcessBuilder("pwd").redirectErrorStream(true).start();
    System.out.print(new String(child.getInputStream().readAllBytes()));
  }
}
