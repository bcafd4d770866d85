package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.training.RunListener;

/**
 * Writes what a fine-tuning run does, and which weights its metrics are from, into its folder, once no other run can
 * write there.
 *
 * @param out the run's folder
 * @param facts by name
 */
record FineTuneDescription(Path out, Map<String, Object> facts) implements RunListener {
    private static final String FILE = "finetune.yaml";

    @Override
    public void started(long step, long steps) throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("kind", "fine-tuning");
        all.putAll(facts);
        Map<String, String> weights = new LinkedHashMap<>();
        weights.put("average/*", "samples of the student with averaged weights");
        weights.put("base/*", "samples of the base map, from the same noise");
        weights.put("loss/*, gradient_norm, drift_distance", "the student with the weights of the step");
        weights.put("reward, shift, weight/*", "posterior draws of the base map, during training");
        all.put("metrics", weights);
        byte[] text = FineTuneSettings.describe(all).getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(
                out.resolve(FILE),
                text.length,
                channel -> Channels.newOutputStream(channel).write(text));
    }
}
