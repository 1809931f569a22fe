import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Fills topics of a broker from the files: clicks with their event time, users and codes by key. Arguments: BROKER DATA PARTITIONS. */
public final class Fill {
  public static void main(String[] args) throws Exception {
    int partitions = Integer.parseInt(args[2]);
    Map<String, Object> settings =
        Map.of("bootstrap.servers", args[0], "linger.ms", 20, "batch.size", 1 << 18, "buffer.memory", 1L << 27);
    ObjectMapper json = new ObjectMapper();
    try (Admin admin = Admin.create(settings);
        var producer = new KafkaProducer<>(settings, new IntegerSerializer(), new StringSerializer())) {
      admin.createTopics(Stream.of("clicks", "users", "codes").map(t -> new NewTopic(t, partitions, (short) 1)).toList()).all().get();
      for (var table : List.of(List.of("users", "user_id"), List.of("codes", "code"))) {
        for (String line : Files.readAllLines(Path.of(args[1], table.get(0) + ".jsonl"))) {
          producer.send(new ProducerRecord<>(table.get(0), null, 0L, json.readTree(line).get(table.get(1)).intValue(), line));
        }
      }
      long number = 0;
      try (var lines = Files.newBufferedReader(Path.of(args[1], "clicks.jsonl"))) {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          long time = Long.parseLong(line, 6, line.indexOf(','), 10); // {"ts":…,
          producer.send(new ProducerRecord<>("clicks", (int) (number++ % partitions), time, null, line));
        }
      }
    }
  }
}
