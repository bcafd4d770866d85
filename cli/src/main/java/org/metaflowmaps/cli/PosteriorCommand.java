package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.model.MetaFlowMap;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm posterior}. */
@Command(name = "posterior", mixinStandardHelpOptions = true,
        description = "Noise some images and draw what they could have been from a trained map.")
final class PosteriorCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Option(names = "--image", paramLabel = "N", split = ",", description = "Images of the set by number, from 0. Default: the last four.")
    private List<Integer> chosen = new ArrayList<>();

    @Option(names = "--time", paramLabel = "T", split = ",", description = "Context times in (0, 1). Default: 0.1, 0.3, 0.5, 0.8.")
    private List<Double> times = new ArrayList<>();

    @Option(names = "--draws", paramLabel = "N", description = "Draws per image and time. Default: ${DEFAULT-VALUE}.")
    private int draws = 6;

    @Option(names = "--steps", paramLabel = "N", description = "Flow-map steps per draw. Default: ${DEFAULT-VALUE}.")
    private int steps = 1;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(names = "--data", paramLabel = "DIR", description = "Folder with the 60,000 images. Default: the 10,000 that come with mfm.")
    private @Nullable Path data;

    @Option(names = "--out", paramLabel = "FILE", description = "The picture. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("posterior.png");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Mixin
    private final PrecisionOption precision = new PrecisionOption();

    @Override
    public Integer call() throws IOException {
        Png.checkName(out);
        LabelledImages images = data == null ? FashionMnist.test() : FashionMnist.train(data);
        double[] at = times.isEmpty() ? PosteriorStudy.TIMES : times.stream().mapToDouble(Double::doubleValue).toArray();
        for (double time : at) {
            if (!(time > 0 && time < 1)) {
                throw new IllegalArgumentException("--time " + time + " is out of range: give times above 0 and below 1");
            }
        }
        List<Integer> wanted = chosen.isEmpty() ? List.of(images.count() - 4, images.count() - 3, images.count() - 2,
                images.count() - 1) : chosen;
        for (int image : wanted) {
            if (image < 0 || image >= images.count()) {
                throw new IllegalArgumentException("--image " + image + " is out of range: the set has images 0 to "
                        + (images.count() - 1));
            }
        }
        try (MetaFlowMap map = checkpoint.load(device.get());
                Autocast mode = precision.on(device.get())) {
            ImageGrid grid = new PosteriorStudy(map, guidance.scale(map), images, images.count(), device.get(), seed)
                    .grid(wanted, at, draws, steps);
            Png.write(grid.draw(2), out);
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        terminal.println(out);
        terminal.flush();
        return 0;
    }
}
