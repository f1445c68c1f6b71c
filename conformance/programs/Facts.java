// MODE PORT. What it answers: see facts.c. MODE: blocking (ServerSocket, Socket), nio (a Selector, channels that do not
// block), http (the JDK's HttpServer and HttpClient).
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Hashtable;
import java.util.concurrent.Executors;
import javax.naming.Context;
import javax.naming.directory.Attributes;
import javax.naming.directory.InitialDirContext;
import com.sun.net.httpserver.HttpServer;

public class Facts {
    static final int PATIENCE_MS = 20_000;

    /** How a mode makes a connection, and fetches http://HOST/. */
    interface Network {
        /** @return the answer's body, then the lines "to" and "from" where the mode knows its socket */
        String fetch(String host) throws Exception;

        void connect(String host, int port) throws Exception;
    }

    static String text(SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        return inet.getAddress().getHostAddress() + ":" + inet.getPort();
    }

    static String word(Throwable error) {
        for (Throwable at = error; at != null; at = at.getCause()) {
            if (at instanceof UnknownHostException || at instanceof UnresolvedAddressException) return "EAI_NONAME";
            if (at instanceof SocketTimeoutException) return "ETIMEDOUT";
            // HttpClient's word for it, without a message (JDK 11 to 21)
            if (at instanceof ClosedChannelException) return "ECONNREFUSED";
            String message = String.valueOf(at.getMessage());
            if (message.contains("refused")) return "ECONNREFUSED";
            if (message.contains("No route to host") || message.contains("Host is unreachable")) return "EHOSTUNREACH";
        }
        return String.valueOf(error);
    }

    static String request(String host) {
        return "GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n";
    }

    static String body(byte[] answer) {
        String all = new String(answer, StandardCharsets.UTF_8);
        return all.substring(all.indexOf("\r\n\r\n") + 4).trim();
    }

    static String addresses(SocketAddress to, SocketAddress from) {
        return "\nto " + text(to) + "\nfrom " + ((InetSocketAddress) from).getAddress().getHostAddress();
    }

    static final Network BLOCKING = new Network() {
        Socket open(String host, int port) throws IOException {
            Socket socket = new Socket();
            socket.setSoTimeout(PATIENCE_MS);
            socket.connect(new InetSocketAddress(InetAddress.getByName(host), port), PATIENCE_MS);
            return socket;
        }

        public String fetch(String host) throws IOException {
            try (Socket socket = open(host, 80)) {
                socket.getOutputStream().write(request(host).getBytes(StandardCharsets.US_ASCII));
                byte[] answer = socket.getInputStream().readAllBytes();
                return body(answer) + addresses(socket.getRemoteSocketAddress(), socket.getLocalSocketAddress());
            }
        }

        public void connect(String host, int port) throws IOException {
            open(host, port).close();
        }
    };

    static final Network NIO = new Network() {
        void await(SocketChannel channel, int what) throws IOException {
            try (Selector selector = Selector.open()) {
                channel.register(selector, what);
                if (selector.select(PATIENCE_MS) == 0) throw new SocketTimeoutException();
            }
        }

        SocketChannel open(String host, int port) throws IOException {
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            if (!channel.connect(new InetSocketAddress(host, port))) {
                await(channel, SelectionKey.OP_CONNECT);
                channel.finishConnect();
            }
            return channel;
        }

        public String fetch(String host) throws IOException {
            try (SocketChannel channel = open(host, 80)) {
                channel.write(StandardCharsets.US_ASCII.encode(request(host)));
                ByteBuffer answer = ByteBuffer.allocate(1 << 16);
                while (channel.read(answer) >= 0) await(channel, SelectionKey.OP_READ);
                byte[] bytes = new byte[answer.flip().remaining()];
                answer.get(bytes);
                return body(bytes) + addresses(channel.getRemoteAddress(), channel.getLocalAddress());
            }
        }

        public void connect(String host, int port) throws IOException {
            open(host, port).close();
        }
    };

    static final Network HTTP = new Network() {
        final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofMillis(PATIENCE_MS)).build();

        String get(String host, int port) throws Exception {
            HttpRequest asked = HttpRequest.newBuilder(URI.create("http://" + host + ":" + port + "/"))
                .timeout(Duration.ofMillis(PATIENCE_MS)).build();
            return client.send(asked, HttpResponse.BodyHandlers.ofString()).body().trim();
        }

        public String fetch(String host) throws Exception {
            return get(host, 80);
        }

        public void connect(String host, int port) throws Exception {
            get(host, port);
        }
    };

    static String attempt(Network network, String host, int port) {
        try {
            network.connect(host, port);
            return "connected";
        } catch (Exception error) {
            return word(error);
        }
    }

    /** Java's own resolver: JNDI's provider asks the name servers of /etc/resolv.conf itself. */
    static String resolve(String host) throws Exception {
        Hashtable<String, String> environment = new Hashtable<>();
        environment.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
        environment.put(Context.PROVIDER_URL, "dns:");
        String name = host.contains(".") ? host : host + ".shop.svc.cluster.local";
        Attributes found = new InitialDirContext(environment).getAttributes(name, new String[] {"A"});
        return (String) found.get("A").get();
    }

    interface Observing {
        String get() throws Exception;
    }

    static String line(String key, Observing observing) {
        try {
            return key + " " + observing.get() + "\n";
        } catch (Exception error) {
            return key + " " + word(error) + "\n";
        }
    }

    /** @param path /HOST/REFUSED-PORT/UNREACHABLE/VARIABLE/FILE */
    static String observe(Network network, String path) {
        String[] asked = path.split("/", 6);
        return line("out", () -> network.fetch(asked[1]))
            + line("dns", () -> InetAddress.getByName(asked[1]).getHostAddress())
            + line("resolver", () -> resolve(asked[1]))
            + line("env", () -> System.getenv(asked[4]))
            + line("file", () -> Files.readString(Path.of("/" + asked[5])).trim())
            + line("hostname", () -> InetAddress.getLocalHost().getHostName())
            + line("refused", () -> attempt(network, asked[1], Integer.parseInt(asked[2])))
            + line("unreachable", () -> attempt(network, asked[3], 80))
            + line("unknown", () -> attempt(network, "nobody.example", 80))
            + line("by", () -> String.valueOf(ProcessHandle.current().pid()));
    }

    static byte[] answer(Network network, String path, SocketAddress peer, SocketAddress local) {
        return ("peer " + text(peer) + "\nlocal " + text(local) + "\n" + observe(network, path))
            .getBytes(StandardCharsets.UTF_8);
    }

    static byte[] message(byte[] body) {
        byte[] head = ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + body.length + "\r\n\r\n").getBytes();
        return ByteBuffer.allocate(head.length + body.length).put(head).put(body).array();
    }

    static void serveBlocking(int port) throws IOException {
        try (ServerSocket server = new ServerSocket(port)) {
            System.out.println("listening " + port);
            for (;;) {
                Socket socket = server.accept();
                new Thread(() -> {
                    try (socket) {
                        BufferedReader lines = new BufferedReader(new InputStreamReader(socket.getInputStream()));
                        String path = lines.readLine().split(" ")[1];
                        for (String line = lines.readLine(); line != null && !line.isEmpty(); ) line = lines.readLine();
                        byte[] body = answer(BLOCKING, path, socket.getRemoteSocketAddress(), socket.getLocalSocketAddress());
                        socket.getOutputStream().write(message(body));
                    } catch (IOException error) {
                        System.err.println(error);
                    }
                }).start();
            }
        }
    }

    static void serveNio(int port) throws IOException {
        var workers = Executors.newCachedThreadPool();
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open();
        server.bind(new InetSocketAddress(port));
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println("listening " + port);
        for (;;) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    SocketChannel channel = server.accept();
                    channel.configureBlocking(false);
                    channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(4096));
                    continue;
                }
                SocketChannel channel = (SocketChannel) key.channel();
                ByteBuffer head = (ByteBuffer) key.attachment();
                if (channel.read(head) < 0) {
                    channel.close();
                    continue;
                }
                String text = new String(head.array(), 0, head.position(), StandardCharsets.US_ASCII);
                if (!text.contains("\r\n\r\n")) continue;
                key.cancel();
                workers.submit(() -> {
                    try (channel) {
                        byte[] body = answer(NIO, text.split(" ")[1], channel.getRemoteAddress(), channel.getLocalAddress());
                        channel.write(ByteBuffer.wrap(message(body)));
                    }
                    return null;
                });
            }
            selector.selectedKeys().clear();
        }
    }

    static void serveHttp(int port) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            byte[] body = answer(HTTP, path, exchange.getRemoteAddress(), exchange.getLocalAddress());
            exchange.sendResponseHeaders(200, body.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        System.out.println("listening " + port);
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(arguments[1]);
        switch (arguments[0]) {
            case "blocking" -> serveBlocking(port);
            case "nio" -> serveNio(port);
            default -> serveHttp(port);
        }
    }
}
