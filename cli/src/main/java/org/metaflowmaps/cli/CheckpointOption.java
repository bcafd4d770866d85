package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.Checkpoint;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.model.MetaFlowMap;
import picocli.CommandLine.Parameters;

/** The checkpoint argument of commands that draw images. */
final class CheckpointOption {
    @Parameters(index = "0", paramLabel = "CHECKPOINT", description = "A checkpoint.safetensors that mfm wrote.")
    private Path file = Path.of("");

    /** The network, owned by the caller. */
    MetaFlowMap load(Device device) throws IOException {
        MetaFlowMap map = Checkpoint.load(file, device);
        if (map.itemShape().length != 3) {
            map.close();
            throw new IOException(file + " holds a map of vectors; this command draws images");
        }
        return map;
    }

    /** Names of a map's classes: Fashion-MNIST's where their number fits, else numbers. */
    static List<String> classNames(MetaFlowMap map) {
        return map.classes() == FashionMnist.CLASSES.size() ? FashionMnist.CLASSES
                : IntStream.range(0, map.classes()).mapToObj(label -> "class " + label).toList();
    }
}
