// PORT. Output and answer: see server.mjs.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

public class Server {
    static void serve(Socket socket) {
        try (socket) {
            BufferedReader lines = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            for (String line = lines.readLine(); line != null && !line.isEmpty(); line = lines.readLine()) {}
            String peer = socket.getInetAddress().getHostAddress() + ":" + socket.getPort();
            String local = socket.getLocalAddress().getHostAddress() + ":" + socket.getLocalPort();
            String body = "local java sees " + peer + " at " + local + "\n";
            String head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + body.length() + "\r\n\r\n";
            socket.getOutputStream().write((head + body).getBytes(StandardCharsets.US_ASCII));
        } catch (IOException error) {
            System.err.println(error);
        }
    }

    public static void main(String[] arguments) throws IOException {
        try (ServerSocket server = new ServerSocket(Integer.parseInt(arguments[0]))) {
            System.out.println("listening " + arguments[0]);
            for (;;) {
                Socket socket = server.accept();
                new Thread(() -> serve(socket)).start();
            }
        }
    }
}
