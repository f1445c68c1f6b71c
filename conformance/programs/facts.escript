#!/usr/bin/env escript
%%! +S 2
%% PORT. What facts.c answers, from Erlang: names by its port program (libc's) and by inet_res, which is its own.

main([Port]) ->
    %% inet_res reads resolv.conf at its first question, line by line: others that ask meanwhile have no search list yet, in
    %% the pod as well.
    _ = inet_res:gethostbyname("localhost"),
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), [
        binary, {active, false}, {reuseaddr, true}, {packet, http_bin}, {backlog, 64}
    ]),
    io:format("listening ~s~n", [Port]),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive go -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Server),
    Server ! go,
    accept(Listener).

serve(Socket) ->
    {ok, {http_request, _, {abs_path, Path}, _}} = gen_tcp:recv(Socket, 0),
    heads(Socket),
    ok = inet:setopts(Socket, [{packet, raw}]),
    Body = observe(binary_to_list(Path), Socket),
    Head = ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", integer_to_list(iolist_size(Body))],
    ok = gen_tcp:send(Socket, [Head, "\r\n\r\n", Body]),
    gen_tcp:close(Socket).

heads(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, http_eoh} -> ok;
        {ok, _} -> heads(Socket)
    end.

observe(Path, Socket) ->
    [Host, Refused, Unreachable, Variable | File] = string:split(tl(Path), "/", all),
    {ok, Name} = inet:gethostname(),
    [
        ["peer ", ends(inet:peername(Socket))],
        ["local ", ends(inet:sockname(Socket))],
        ["out ", out(Host)],
        ["dns ", address(inet:gethostbyname(Host))],
        ["resolver ", address(inet_res:gethostbyname(Host))],
        ["env ", os:getenv(Variable, ""), "\n"],
        ["file ", contents("/" ++ lists:join("/", File))],
        ["hostname ", Name, "\n"],
        ["refused ", attempt(Host, list_to_integer(Refused))],
        ["unreachable ", attempt(Unreachable, 80)],
        ["unknown ", attempt("nobody.example", 80)],
        ["by ", os:getpid(), "\n"]
    ].

ends({ok, {Address, Port}}) -> [inet:ntoa(Address), ":", integer_to_list(Port), "\n"].

address({ok, {hostent, _, _, inet, 4, [First | _]}}) -> [inet:ntoa(First), "\n"];
address({error, Why}) -> [word(Why), "\n"].

contents(File) ->
    case file:read_file(File) of
        {ok, Text} -> [string:trim(Text), "\n"];
        {error, Why} -> [word(Why), "\n"]
    end.

out(Host) ->
    case gen_tcp:connect(Host, 80, [binary, {active, false}], 20000) of
        {ok, Socket} ->
            ok = gen_tcp:send(Socket, ["GET / HTTP/1.0\r\nHost: ", Host, "\r\n\r\n"]),
            %% Before the answer has ended: then it closes its socket itself.
            To = ends(inet:peername(Socket)),
            {ok, {From, _}} = inet:sockname(Socket),
            [_, Body] = string:split(all(Socket, <<>>), "\r\n\r\n"),
            [string:trim(Body), "\nto ", To, "from ", inet:ntoa(From), "\n"];
        {error, Why} ->
            [word(Why), "\n"]
    end.

all(Socket, Text) ->
    case gen_tcp:recv(Socket, 0, 20000) of
        {ok, Part} -> all(Socket, <<Text/binary, Part/binary>>);
        {error, closed} -> Text
    end.

attempt(Host, Port) ->
    case gen_tcp:connect(Host, Port, [], 20000) of
        {ok, Socket} -> gen_tcp:close(Socket), "connected\n";
        {error, Why} -> [word(Why), "\n"]
    end.

word(nxdomain) -> "EAI_NONAME";
word(Why) -> string:uppercase(atom_to_list(Why)).
