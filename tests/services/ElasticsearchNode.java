import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch 8 node in this JVM: {@code ElasticsearchNode HOME DIR PORT}, until SIGTERM.
 *
 * <p>HOME holds {@code modules/}; DIR takes data and logs. The node is built directly, not by the packaged
 * start-up class, so it runs as any user and asks nothing of the kernel's limits.
 */
public final class ElasticsearchNode {
    private ElasticsearchNode() {}

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]);
        Path dir = Path.of(args[1]);
        int port = Integer.parseInt(args[2]);
        Map<String, String> wanted = Map.of(
            "path.home", home.toString(),
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
        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(environment.settings());

        // The last argument: the server lies on the class path and is no named module.
        PluginsLoader modules = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir()), Map.of(), false);
        Node node = new Node(environment, modules);
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
