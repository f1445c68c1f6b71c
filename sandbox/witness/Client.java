// HOST PORT PATH, with java.net.Socket. Output: see client.c.
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;

public class Client {
    static String text(SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        return inet.getAddress().getHostAddress() + ":" + inet.getPort();
    }

    static String errno(IOException error) {
        if (error instanceof UnknownHostException) return "EAI_NONAME";
        if (error instanceof SocketTimeoutException) return "ETIMEDOUT";
        String message = String.valueOf(error.getMessage());
        if (message.contains("refused")) return "ECONNREFUSED";
        if (message.contains("reset")) return "ECONNRESET";
        if (message.contains("No route to host") || message.contains("Host is unreachable")) return "EHOSTUNREACH";
        if (message.contains("Network is unreachable")) return "ENETUNREACH";
        return message.contains("timed out") ? "ETIMEDOUT" : message;
    }

    public static void main(String[] arguments) {
        try (Socket socket = new Socket()) {
            InetAddress host = InetAddress.getByName(arguments[0]);
            socket.setSoTimeout(20_000);
            socket.connect(new InetSocketAddress(host, Integer.parseInt(arguments[1])), 20_000);
            String request = "GET " + arguments[2] + " HTTP/1.0\r\nHost: " + arguments[0] + "\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            System.out.print(answer.substring(answer.indexOf("\r\n\r\n") + 4));
            System.out.println("peer " + text(socket.getRemoteSocketAddress()));
            System.out.println("local " + text(socket.getLocalSocketAddress()));
        } catch (IOException error) {
            System.out.println(errno(error));
            System.exit(1);
        }
    }
}
