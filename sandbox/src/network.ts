/**
 * The sandbox's network in one place: every address, port and name. All addresses are of 198.18.0.0/15, the range
 * that RFC 2544 sets aside for tests; none of them exists outside the sandbox's own network namespaces.
 */
export const NETWORK = {
  prefixLength: 24,
  prefixLengthIPv6: 64,
  pod: {
    address: "198.18.200.2",
    /** Of 2001:2::/48, which RFC 5180 sets aside for tests; only where the sandbox was started with IPv6. */
    addressIPv6: "2001:2:0:c8::2",
    /** "I am the pod, you are …". */
    httpPort: 3000,
    /** Sends back what it gets. */
    echoPort: 7000,
    /** The same, on the pod's 127.0.0.1 only, as a sidecar would listen. */
    sidecarPort: 9999,
    /** UDP: "I am the pod, you are …". */
    udpPort: 5300,
    hostname: "orders-7d4f",
  },
  client: { address: "198.18.200.9", addressIPv6: "2001:2:0:c8::9" },
  services: {
    /** Answers DNS on port 53, UDP and TCP. */
    nameServer: "198.18.200.53",
    /** "greetings to …" on port 80; port 81 refuses. */
    greetings: "198.18.200.10",
    httpPort: 80,
    refusedPort: 81,
    /** UDP: sends back what it gets. On the address of `greetings`. */
    udpEchoPort: 5353,
    /** The pod's default gateway. It forwards nothing. */
    gateway: "198.18.200.254",
    /** A cloud's metadata service in the test range. The pod has a route to it, the client has none. */
    metadata: "198.18.169.254",
  },
  /** SYNs to it vanish: connect(2) from the pod or the client waits until it gives up. */
  blackHole: "198.18.200.66",
  /** connect(2) from the pod fails at once with EHOSTUNREACH. */
  unreachable: "198.18.77.1",
} as const;

const SEARCH = "shop.svc.cluster.local";

/** What the name server knows. Any other name is NXDOMAIN; AAAA of a known name is an empty answer. */
export const NAMES = {
  greetings: `greetings.${SEARCH}`,
  orders: `orders.${SEARCH}`,
  metadata: "metadata.internal",
  /** Where the client is: tests can start a service there. */
  neighbour: `neighbour.${SEARCH}`,
  /** More A records than fit in 512 bytes: truncated over UDP, whole over TCP (RFC 1035, 4.2.1 and RFC 7766). */
  large: `large.${SEARCH}`,
} as const;

/** Each is 16 bytes of the answer. */
const LARGE_NAME_RECORDS = 60;

export const RECORDS: Readonly<Record<string, readonly string[]>> = {
  [NAMES.greetings]: [NETWORK.services.greetings],
  [NAMES.orders]: [NETWORK.pod.address],
  [NAMES.metadata]: [NETWORK.services.metadata],
  [NAMES.neighbour]: [NETWORK.client.address],
  [NAMES.large]: Array.from(
    { length: LARGE_NAME_RECORDS },
    (_, index) => `198.18.201.${index + 1}`,
  ),
};

/** The pod's files that tests look for, by what they are. Their contents are in pod/boot.sh. */
export const POD_FILES = {
  settings: "/app/settings.json",
  /** Reached over two symbolic links, as kubelet mounts a ConfigMap. */
  greeting: "/config/greeting",
  token: "/var/run/secrets/kubernetes.io/serviceaccount/token",
  caCertificate: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
  namespace: "/var/run/secrets/kubernetes.io/serviceaccount/namespace",
  /** 5 MiB of zeros. */
  large: "/app/large.bin",
  /** Mode 0600, uid and gid 4242. Only when the sandbox was started by root: one uid is mapped otherwise. */
  otherUsers: "/app/other-users-secret",
} as const;

export const POD_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  HOSTNAME: NETWORK.pod.hostname,
  KUBERNETES_SERVICE_HOST: "198.18.200.1",
  KUBERNETES_SERVICE_PORT: "443",
  GREETING: "hello-from-the-pod",
  /** A made-up secret: tests look for it where it must not be. */
  DATABASE_URL: "postgres://orders:not-a-real-secret@db.shop.svc.cluster.local/orders",
} as const;
