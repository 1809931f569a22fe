import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableEnvironment;

/**
 * The clickstream script as one Flink SQL job in a local cluster: state on the heap, no checkpoints, objects reused.
 * Arguments: SQL DATA PARALLELISM [rows]; with "rows" each table's rows are printed, else they go nowhere.
 */
public final class FlinkPeer {
  public static void main(String[] args) throws Exception {
    boolean rows = args.length > 3;
    Configuration settings = new Configuration();
    settings.setString("parallelism.default", args[2]);
    settings.setString("taskmanager.numberOfTaskSlots", args[2]);
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("table.local-time-zone", "UTC");
    TableEnvironment tables =
        TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
    StatementSet job = tables.createStatementSet();
    String script = Files.readString(Path.of(args[0])).replaceAll("(?m)^--.*$", "").replace("$data", args[1]);
    for (String statement : script.split(";")) {
      String sql = statement.strip();
      if (sql.startsWith("INSERT")) {
        job.addInsertSql(sql);
      } else if (!sql.isEmpty()) {
        String name = sql.split("\\s+")[2];
        String printed = "'connector' = 'print', 'print-identifier' = '@" + name + "'";
        tables.executeSql(sql.replace("$sink", rows ? printed : "'connector' = 'blackhole'"));
      }
    }
    long millis = job.execute().getJobClient().orElseThrow().getJobExecutionResult().get().getNetRuntime();
    long events;
    try (var lines = Files.lines(Path.of(args[1], "clicks.jsonl"))) {
      events = lines.count();
    }
    System.out.printf("{\"events\": %d, \"seconds\": %.3f}%n", events, millis / 1e3);
    System.exit(0);
  }
}
