// PORT. What facts.c answers, with .NET's sockets: tasks, and a loop of epoll behind them.
using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Text;
using System.Threading.Tasks;

public static class Facts
{
    static readonly HttpClient client = new HttpClient { Timeout = TimeSpan.FromSeconds(20) };

    static string Word(Exception error)
    {
        for (; error != null; error = error.InnerException)
        {
            var socket = error as SocketException;
            if (socket == null) continue;
            switch (socket.SocketErrorCode)
            {
                case SocketError.ConnectionRefused: return "ECONNREFUSED";
                case SocketError.HostUnreachable: return "EHOSTUNREACH";
                case SocketError.HostNotFound: return "EAI_NONAME";
                default: return socket.Message;
            }
        }
        return "another exception";
    }

    static async Task<string> OrWord(Func<Task<string>> observe)
    {
        try { return await observe(); }
        catch (Exception error) { return Word(error); }
    }

    static string Text(EndPoint end)
    {
        var ip = (IPEndPoint)end;
        var address = ip.Address.IsIPv4MappedToIPv6 ? ip.Address.MapToIPv4() : ip.Address;
        return address + ":" + ip.Port;
    }

    static async Task<string> Get(string host)
    {
        using (var connection = new TcpClient())
        {
            await connection.ConnectAsync(host, 80);
            var stream = connection.GetStream();
            var request = Encoding.ASCII.GetBytes("GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n");
            await stream.WriteAsync(request, 0, request.Length);
            var answer = await new StreamReader(stream).ReadToEndAsync();
            var body = answer.Substring(answer.IndexOf("\r\n\r\n") + 4).Trim();
            var from = Text(connection.Client.LocalEndPoint);
            var to = Text(connection.Client.RemoteEndPoint);
            return body + "\nto " + to + "\nfrom " + from.Substring(0, from.LastIndexOf(':'));
        }
    }

    static async Task<string> Attempt(string host, int port)
    {
        using (var connection = new TcpClient()) await connection.ConnectAsync(host, port);
        return "connected";
    }

    static async Task<string> Look(string host)
    {
        var found = await Dns.GetHostAddressesAsync(host);
        return found.First(address => address.AddressFamily == AddressFamily.InterNetwork).ToString();
    }

    static async Task<string> Observe(string path)
    {
        var asked = path.Split(new[] { '/' }, 6);
        var said = new StringBuilder();
        said.Append("out " + await OrWord(() => Get(asked[1])) + "\n");
        said.Append("out " + (await OrWord(() => client.GetStringAsync("http://" + asked[1] + "/"))).Trim() + "\n");
        said.Append("dns " + await OrWord(() => Look(asked[1])) + "\n");
        said.Append("env " + Environment.GetEnvironmentVariable(asked[4]) + "\n");
        said.Append("file " + File.ReadAllText("/" + asked[5]).Trim() + "\n");
        said.Append("hostname " + Dns.GetHostName() + "\n");
        said.Append("refused " + await OrWord(() => Attempt(asked[1], int.Parse(asked[2]))) + "\n");
        said.Append("unreachable " + await OrWord(() => Attempt(asked[3], 80)) + "\n");
        said.Append("unknown " + await OrWord(() => Attempt("nobody.example", 80)) + "\n");
        said.Append("by " + Process.GetCurrentProcess().Id + "\n");
        return said.ToString();
    }

    static async Task Serve(TcpClient connection)
    {
        using (connection)
        {
            var stream = connection.GetStream();
            var lines = new StreamReader(stream);
            var path = (await lines.ReadLineAsync()).Split(' ')[1];
            while (!string.IsNullOrEmpty(await lines.ReadLineAsync())) { }
            var ends = "peer " + Text(connection.Client.RemoteEndPoint) + "\nlocal " + Text(connection.Client.LocalEndPoint) + "\n";
            var body = ends + await Observe(path);
            var answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + body.Length + "\r\n\r\n" + body;
            var bytes = Encoding.UTF8.GetBytes(answer);
            await stream.WriteAsync(bytes, 0, bytes.Length);
        }
    }

    static async Task Accept(int port)
    {
        var listener = TcpListener.Create(port);
        listener.Start();
        Console.WriteLine("listening " + port);
        for (;;)
        {
            var connection = await listener.AcceptTcpClientAsync();
            _ = Serve(connection).ContinueWith(task => { if (task.IsFaulted) Console.Error.WriteLine(task.Exception); });
        }
    }

    public static void Main(string[] arguments)
    {
        Accept(int.Parse(arguments[0])).Wait();
    }
}
