package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.metaflowmaps.cli.selfcheck.Selfcheck.Outcome;
import org.metaflowmaps.cli.selfcheck.Selfcheck.Status;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.data.ImageFiles;

/**
 * Reference pixels of image files: arrays (rows, columns, colours), each under the name of its file, which is in the
 * folder {@code images} beside.
 */
final class ImageFileCases {
    static final String KIND = "imagefiles";

    /** JPEG decoders may differ by a few grey levels. */
    private static final double LEVELS = 3;

    private ImageFileCases() {}

    static List<Outcome> run(Path path, Pattern only) throws IOException {
        List<Outcome> outcomes = new ArrayList<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (String name : file.entries().keySet()) {
                if (only.matcher(name).find()) {
                    Path image = path.resolveSibling("images").resolve(name);
                    try (TensorScope scope = TensorScope.open()) {
                        outcomes.add(
                                Files.exists(image)
                                        ? check(name, image, file.view(name))
                                        : new Outcome(name, Status.NOT_COVERED, "the file is missing"));
                    } catch (IOException | RuntimeException e) {
                        outcomes.add(new Outcome(name, Status.FAIL, String.valueOf(e.getMessage())));
                    }
                }
            }
        }
        return outcomes;
    }

    private static Outcome check(String name, Path image, Tensor reference) throws IOException {
        Tensor mine = ImageFiles.read(image).tensor().permute(1, 2, 0);
        if (!mine.shape().equals(reference.shape())) {
            return new Outcome(name, Status.FAIL, "the image is " + mine.shape() + ", not " + reference.shape());
        }
        double difference = mine.to(DType.FLOAT64)
                .sub(reference.to(DType.FLOAT64))
                .abs()
                .max()
                .item();
        double bound = name.endsWith(".png") ? 0 : LEVELS;
        return new Outcome(
                name, difference <= bound ? Status.PASS : Status.FAIL, difference, "grey levels", Double.NaN);
    }
}
