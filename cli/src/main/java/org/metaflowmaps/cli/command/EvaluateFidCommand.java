package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.report.FidTable;
import org.metaflowmaps.models.vision.InceptionInput;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.FullPrecision;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.evaluation.InceptionFeatures;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate fid}. */
@Command(
        name = "fid",
        mixinStandardHelpOptions = true,
        description =
                "Compare images with real ones by features of the Inception network, as public evaluators do: FID,"
                    + " sFID, Inception score, precision, recall and KID. Values depend on the preset, the number of"
                    + " samples and the reference, which are printed beside them.")
final class EvaluateFidCommand implements Callable<Integer> {
    /** How images are prepared for the network. */
    enum Preset {
        adm(
                InceptionInput.TENSORFLOW,
                "TensorFlow 1's bilinear resizing to 299 x 299, without half pixels and antialiasing",
                "(x - 128) / 128"),
        pytorch_fid(
                InceptionInput.PYTORCH_FID,
                "bilinear resizing to 299 x 299 with half pixels, without antialiasing",
                "x / 127.5 - 1"),
        clean_fid(
                InceptionInput.CLEAN_FID,
                "Pillow's cubic resizing to 299 x 299 with antialiasing, clipped, not rounded",
                "(x - 128) / 128");

        private final InceptionInput input;
        private final String resizing;
        private final String range;

        Preset(InceptionInput input, String resizing, String range) {
            this.input = input;
            this.resizing = resizing;
            this.range = range;
        }

        /** The evaluator's name, also on the command line. */
        @Override
        public String toString() {
            return name().replace('_', '-');
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            arity = "0..1",
            paramLabel = "SAMPLES",
            description = "A folder of PNG files, a .npz file with arr_0, uint8 of (N, H, W, 3), or a map's checkpoint,"
                    + " whose samples are drawn; or give --pretrained.")
    private @Nullable Path file;

    @Option(
            names = "--reference",
            paramLabel = "PATH",
            description = "Real images: a folder, or a .npz file with mu and sigma (for sFID mu_s and sigma_s), with"
                    + " images arr_0 (for precision, recall and KID), or with both. Default: none, for the Inception"
                    + " score and --save-statistics alone.")
    private @Nullable Path reference;

    @Option(
            names = "--inception",
            required = true,
            paramLabel = "FILE",
            description = "The Inception network: pt_inception-2015-12-05-6726825d.pth of pytorch-fid, also as"
                    + " safetensors, or NVIDIA's inception-2015-12-05.pt, a TorchScript file, whose program is run.")
    private Path inception = Path.of("");

    @Option(
            names = "--preset",
            paramLabel = "NAME",
            description =
                    "Resizing and range: ${COMPLETION-CANDIDATES}. adm is also that of TensorFlow, torch-fidelity and"
                            + " NVIDIA. Default: ${DEFAULT-VALUE}.")
    private Preset preset = Preset.adm;

    @Option(
            names = "--metrics",
            paramLabel = "NAME",
            split = ",",
            description =
                    "${COMPLETION-CANDIDATES}; pr is precision and recall. Default: all that the reference allows.")
    private List<FidMetrics.Kind> metrics = new ArrayList<>();

    @Mixin
    private final DrawingOptions drawing = new DrawingOptions();

    @Option(
            names = "--groups",
            paramLabel = "N",
            description =
                    "Groups of the jackknife, for the standard error of FID: 1 to 100, 1 for none. Each needs 66 MB"
                            + " of Java's memory. Default: ${DEFAULT-VALUE}.")
    private int groups = 10;

    @Option(
            names = "--batch",
            paramLabel = "N",
            description = "Images of a pass of the network. Default: ${DEFAULT-VALUE}.")
    private int batch = 50;

    @Option(
            names = "--features",
            paramLabel = "DIR",
            description =
                    "A folder for features, 20 KB per image: the same command continues after a stop, and does not"
                            + " compute them again.")
    private @Nullable Path features;

    @Option(
            names = "--save-statistics",
            paramLabel = "FILE",
            description = "A .npz file for mu, sigma, mu_s and sigma_s of the samples.")
    private @Nullable Path saveStatistics;

    @Option(names = "--out", paramLabel = "FILE", description = "A .json file for the results.")
    private @Nullable Path out;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        check();
        try (FidReference real = reference == null ? null : FidReference.open(reference);
                ImageSource samples = samples()) {
            if (samples.count() < 2) {
                throw new IOException(samples.name() + ", expected at least 2");
            }
            try (InceptionFeatures network = InceptionFeatures.load(inception, preset.input, device.get());
                    FullPrecision full = FullPrecision.open()) {
                evaluate(network, Sha256.of(inception), samples, real);
            }
        }
        return 0;
    }

    private void check() {
        drawing.check(file);
        if (groups < 1 || groups > 100 || batch < 1) {
            throw new IllegalArgumentException(
                    "--groups " + groups + " --batch " + batch + ": give 1 to 100 groups, and at least 1 image");
        }
        if (out != null && !out.toString().endsWith(".json")) {
            throw new IllegalArgumentException("--out " + out + ": give a name that ends in .json");
        }
        if (saveStatistics != null && !saveStatistics.toString().endsWith(".npz")) {
            throw new IllegalArgumentException(
                    "--save-statistics " + saveStatistics + ": give a name that ends in .npz");
        }
    }

    private ImageSource samples() throws IOException {
        if (file != null && Files.isDirectory(file)) {
            return new FolderImages(file);
        }
        return file != null && file.toString().endsWith(".npz")
                ? new ArchiveImages(file)
                : drawing.open(file, device, Objects.requireNonNull(spec));
    }

    private void evaluate(InceptionFeatures network, String sum, ImageSource samples, @Nullable FidReference real)
            throws IOException {
        Set<FidMetrics.Kind> wanted =
                metrics.isEmpty() ? EnumSet.noneOf(FidMetrics.Kind.class) : EnumSet.copyOf(metrics);
        FidMetrics chosen = FidMetrics.choose(wanted, real, network.isSpatial());
        requireRoom(network, samples, real, chosen);
        Map<String, Object> settings = settings(sum, samples, real);
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        settings.forEach((name, value) -> terminal.println(name + ": " + value));
        terminal.flush();
        boolean spatial = network.isSpatial() && (saveStatistics != null || chosen.needsSpatial());
        FeatureStore store =
                new FeatureStore(network, "network " + sum + ", preset " + preset, spatial, features, batch);
        try (FeatureSet set = new FeatureSet(samples.count(), groups, chosen.needsVectors())) {
            if (real != null && chosen.needsImages(real)) {
                real.measure(store, chosen.needsVectors());
            }
            store.fill(set, samples, "features of the samples");
            FidTable table = chosen.compute(set, real, device.get());
            List<String> notes = new ArrayList<>(samples.notes());
            notes.addAll(chosen.notes());
            terminal.println();
            table.print(terminal);
            notes.forEach(note -> terminal.println("note: " + note));
            if (saveStatistics != null) {
                SampleArchive.writeStatistics(saveStatistics, set.pool(), set.spatial());
                terminal.println(saveStatistics);
            }
            if (out != null) {
                settings.put("notes", notes);
                table.write(out, settings);
                terminal.println(out);
            }
            terminal.flush();
        }
    }

    private Map<String, Object> settings(String sum, ImageSource samples, @Nullable FidReference real) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("samples", samples.name());
        settings.put("count", samples.count());
        settings.put("quantisation", samples.quantisation());
        settings.put("network", inception + " (SHA-256 " + sum + ")");
        settings.put("preset", preset.toString());
        settings.put("resizing", preset.resizing);
        settings.put("range", preset.range);
        settings.put("reference", real == null ? "none" : real.name());
        settings.put("device", device.get().toString());
        return settings;
    }

    /** Refuses what cannot work before hours of computation: features of other widths, and too little memory. */
    private void requireRoom(
            InceptionFeatures network, ImageSource samples, @Nullable FidReference real, FidMetrics chosen)
            throws IOException {
        long pool;
        long spatial;
        try (TensorScope scope = TensorScope.open()) {
            InceptionFeatures.Found found =
                    network.of(Torch.zeros(DType.UINT8, Device.CPU, 1, 3, InceptionInput.SIDE, InceptionInput.SIDE));
            pool = found.pool().size(1);
            spatial = found.spatial().map(tensor -> tensor.size(1)).orElse(0L);
        }
        if (real != null) {
            real.requireWidths(pool, spatial);
        }
        long moments = (groups + 4L) * (pool * pool + spatial * spatial) * Double.BYTES;
        if (moments > Runtime.getRuntime().maxMemory()) {
            throw new IllegalArgumentException("--groups " + groups + " needs " + FreeMemory.text(moments)
                    + " of Java's memory, which is limited to "
                    + FreeMemory.text(Runtime.getRuntime().maxMemory())
                    + ": lower --groups, or raise the limit by MFM_JAVA_OPTS=-Xmx4g");
        }
        if (chosen.needsVectors()) {
            long others =
                    real == null || real.images() == null ? 0 : real.images().count();
            FreeMemory.require(
                    "precision, recall and KID of " + samples.count() + " samples",
                    (samples.count() + others) * pool * Float.BYTES,
                    "leave them out, such as by --metrics fid,sfid,is");
        }
    }
}
