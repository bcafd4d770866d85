package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.report.EncodingProgress;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.internal.Texts;
import org.metaflowmaps.training.data.EncodingSettings;
import org.metaflowmaps.training.data.LatentEncoder;
import org.metaflowmaps.training.data.LatentManifest;
import org.metaflowmaps.training.data.SquareCrop;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm data encode}. */
@Command(
        name = "encode",
        mixinStandardHelpOptions = true,
        description = "Encode a folder of images to latents of an autoencoder, for data.kind=latents. Run the same"
                + " command again to continue a stopped or killed run.")
final class DataEncodeCommand implements Callable<Integer> {
    /** The most skipped images to list; the manifest has all. */
    private static final int LISTED = 50;

    /** Names on the command line. */
    enum Crop {
        adm(SquareCrop.ADM),
        torchvision(SquareCrop.TORCHVISION);

        private final SquareCrop crop;

        Crop(SquareCrop crop) {
            this.crop = crop;
        }
    }

    /** Names on the command line. */
    enum Store {
        moments(LatentManifest.Store.MOMENTS),
        sample(LatentManifest.Store.SAMPLE);

        private final LatentManifest.Store store;

        Store(LatentManifest.Store store) {
            this.store = store;
        }
    }

    /** Names on the command line. */
    enum Type {
        float32(DType.FLOAT32),
        bfloat16(DType.BFLOAT16),
        float16(DType.FLOAT16);

        private final DType type;

        Type(DType type) {
            this.type = type;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "IMAGES",
            description = "A folder with one subfolder of PNG and JPEG files per class, or with such files directly.")
    private Path images = Path.of("");

    @Parameters(index = "1", paramLabel = "LATENTS", description = "The folder for the latents.")
    private Path latents = Path.of("");

    @Option(
            names = "--vae",
            paramLabel = "FILE",
            required = true,
            description = "The autoencoder: a file of diffusers or CompVis, or a full checkpoint of Stable Diffusion; a"
                    + " config.json beside it is read. Or TAESD: a file of diffusers, or one of its two files.")
    private Path vae = Path.of("");

    @Option(
            names = "--size",
            paramLabel = "N",
            description = "Rows and columns of the cropped images, a multiple of 8. Default: ${DEFAULT-VALUE}.")
    private int size = 256;

    @Option(
            names = "--crop",
            paramLabel = "CROP",
            description = "${COMPLETION-CANDIDATES}: guided-diffusion's crop, which SiT, DiT and REPA used, or"
                    + " torchvision's Resize and CenterCrop, which MFM uses. Default: ${DEFAULT-VALUE}.")
    private Crop crop = Crop.adm;

    @Option(names = "--flips", description = "Store the latents of mirrored images too, for data.flip.")
    private boolean flips;

    @Option(
            names = "--store",
            paramLabel = "WHAT",
            description = "${COMPLETION-CANDIDATES}: means and deviations, from which training draws new latents each"
                    + " epoch, or one draw of each. Default: moments; sample for TAESD, which has none.")
    private @Nullable Store store;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description = "Type of stored numbers: ${COMPLETION-CANDIDATES}. Images are encoded in float32. Default:"
                    + " ${DEFAULT-VALUE}.")
    private Type dtype = Type.float32;

    @Option(names = "--batch", paramLabel = "N", description = "Images to encode at once. Default: ${DEFAULT-VALUE}.")
    private int batch = 16;

    @Option(names = "--workers", paramLabel = "N", description = "Threads that read images. Default: ${DEFAULT-VALUE}.")
    private int workers = 4;

    @Option(
            names = "--shard",
            paramLabel = "N",
            description = "Images of each file; a killed run loses at most as many. Default: ${DEFAULT-VALUE}.")
    private int shard = 4096;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of --store sample. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        settings(Store.moments); // refuses wrong ones before the network is loaded
        AtomicBoolean stopped = new AtomicBoolean();
        LatentManifest manifest;
        try (Autoencoder network = Autoencoder.load(vae, DType.FLOAT32, device.get());
                GracefulStop stop = new GracefulStop(() -> stopped.set(true));
                EncodingProgress progress = new EncodingProgress(stopped::get)) {
            EncodingSettings settings = settings(network.hasMoments() ? Store.moments : Store.sample);
            manifest = LatentEncoder.encode(settings, network, device.get(), progress);
        }
        print(manifest);
        return 0;
    }

    /** Returns the settings, with what to store by default; refuses wrong ones. */
    private EncodingSettings settings(Store usual) {
        Store what = store == null ? usual : store;
        try {
            return new EncodingSettings(
                    images, latents, vae, crop.crop, size, flips, what.store, dtype.type, batch, workers, shard, seed);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(e.getMessage() + ": see mfm data encode --help", e);
        }
    }

    private void print(LatentManifest manifest) {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        List<LatentManifest.Skipped> skipped = manifest.skipped();
        if (!skipped.isEmpty()) {
            out.println("skipped: " + skipped.size() + " of " + manifest.done() + " images");
            skipped.stream()
                    .limit(LISTED)
                    .forEach(image -> out.println("  " + Texts.oneLine(image.file() + " " + image.reason())));
            if (skipped.size() > LISTED) {
                out.println(
                        "  ... and " + (skipped.size() - LISTED) + " more in " + latents.resolve(LatentManifest.NAME));
            }
        }
        int shards = manifest.shards().size();
        if (manifest.isComplete()) {
            long side = manifest.size() / manifest.vae().factor();
            out.println(latents + ": latents of " + manifest.count() + " images, "
                    + manifest.vae().channels() + " x " + side + " x " + side + ", in " + shards
                    + (shards == 1 ? " file" : " files"));
        } else {
            out.println("stopped after " + manifest.done() + " of " + manifest.images()
                    + " images; run the same command again to continue");
        }
        out.flush();
    }
}
