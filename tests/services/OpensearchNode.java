import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch 2 node in this JVM: {@code OpensearchNode HOME DIR PORT}, until SIGTERM.
 *
 * <p>DIR takes data and logs. The node takes its plugins from the class path and is built directly, not by the
 * packaged start-up class, so it runs as any user and asks nothing of the kernel's limits.
 */
public final class OpensearchNode extends Node {
    private OpensearchNode(Environment environment) {
        super(environment, List.of(Netty4Plugin.class), false);
    }

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[1]);
        int port = Integer.parseInt(args[2]);
        Map<String, String> wanted = Map.of(
            "path.home", args[0],
            "path.data", dir.resolve("data").toString(),
            "path.logs", dir.resolve("logs").toString(),
            "cluster.name", "weir-tests",
            "node.name", "weir-tests",
            "discovery.type", "single-node",
            "network.host", "127.0.0.1",
            "http.port", String.valueOf(port),
            "transport.port", String.valueOf(port + 1),
            // On a nearly full disk indices would become read-only.
            "cluster.routing.allocation.disk.threshold_enabled", "false");
        Settings.Builder settings = Settings.builder();
        wanted.forEach(settings::put);
        Environment environment = new Environment(settings.build(), dir.resolve("config"));
        LogConfigurator.configureWithoutConfig(environment.settings());

        Node node = new OpensearchNode(environment);
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try (node) {
                closed.countDown();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        node.start();
        closed.await();
    }
}
