package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.metaflowmaps.models.vision.ReferenceValues;
import org.metaflowmaps.models.vision.text.TokenReferences;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.data.ImageReferences;

/** Compares this library's results with independent reference values. */
public final class Selfcheck {
    private static final double VALUE_BOUND = 2e-5;

    /** Bound of a gradient whose loss has a residual, times its condition: 32 roundings of a float32 number. */
    private static final double GRADIENT_BOUND = 32 * 0x1p-24;

    /** In float64 only the last place of the sinusoids, which stay float32, differs between machines. */
    private static final double EXACT_VALUE_BOUND = 1e-7;

    private static final double EXACT_GRADIENT_BOUND = 2e-5;

    /** A GPU adds in another order, and its float32 functions are less exact than the CPU's. */
    private static final double GPU_BOUND = 1e-4;

    private Selfcheck() {}

    /** The outcome of a case. */
    public enum Status {
        PASS,
        FAIL,
        NOT_COVERED
    }

    /**
     * The result of one case.
     *
     * @param error largest of the outputs' relative errors ‖out - ref‖ / ‖ref‖
     * @param worst the output with this error
     * @param condition κ of the case's gradients; NaN if none has a residual
     */
    public record Outcome(String name, Status status, double error, String worst, double condition) {
        Outcome(String name, Status status, String why) {
            this(name, status, Double.NaN, why, Double.NaN);
        }
    }

    /**
     * Returns the files of reference values in a folder: its safetensors files, except those with the weights of another
     * one in a different layout, and the ids of tokenizers.
     *
     * @throws IOException if a file is damaged, or the folder has no such file
     */
    public static List<Path> files(Path folder) throws IOException {
        List<Path> files;
        try (Stream<Path> found = Files.list(folder)) {
            files = found.filter(path -> path.toString().endsWith(".safetensors"))
                    .sorted()
                    .toList();
        }
        Set<String> others = new HashSet<>();
        for (Path file : files) {
            if (ReferenceValues.isFor(file) && !ImageReferences.isFor(file)) {
                others.addAll(ReferenceValues.others(file));
            }
        }
        List<Path> own = Stream.concat(
                        files.stream().filter(file -> !others.contains(String.valueOf(file.getFileName()))),
                        TokenReferences.find(folder).stream())
                .toList();
        if (own.isEmpty()) {
            throw new IOException(folder + " holds no .safetensors file and no tokens.json");
        }
        return own;
    }

    /** Runs the cases of a file whose names match. */
    public static List<Outcome> run(Path file, Device device, DType type, Pattern only) throws IOException {
        if (TokenReferences.isFor(file)) {
            return TokenReferences.run(file, name -> only.matcher(name).find()).stream()
                    .map(Selfcheck::tokens)
                    .toList();
        }
        String kind;
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            kind = open.metadata().getOrDefault("generator", "");
        }
        if (kind.equals(MetricCases.KIND)) {
            return MetricCases.run(file, device, type, only);
        }
        List<Outcome> outcomes = new ArrayList<>();
        if (ImageReferences.isFor(file)) {
            for (ImageReferences.Outcome found :
                    ImageReferences.run(file, name -> only.matcher(name).find())) {
                Status status = found.passed() ? Status.PASS : Status.FAIL;
                outcomes.add(new Outcome(found.name(), status, found.error(), found.worst(), Double.NaN));
            }
            return outcomes;
        }
        if (ReferenceValues.isFor(file)) {
            for (ReferenceValues.Outcome found : ReferenceValues.run(
                    file, device, type, name -> only.matcher(name).find())) {
                Status status = switch (found.status()) {
                    case PASS -> Status.PASS;
                    case FAIL -> Status.FAIL;
                    case NOT_COVERED -> Status.NOT_COVERED;
                };
                outcomes.add(new Outcome(found.name(), status, found.error(), found.worst(), Double.NaN));
            }
            return outcomes;
        }
        try (Fixture fixture = Fixture.open(file, device, type)) {
            for (String name : fixture.cases()) {
                if (only.matcher(name).find()) {
                    try (TensorScope scope = TensorScope.open()) {
                        outcomes.add(check(fixture.of(name), device, type));
                    }
                }
            }
        }
        return outcomes;
    }

    private static Outcome tokens(TokenReferences.Outcome found) {
        if (found.texts() == 0) {
            return new Outcome(found.name(), Status.NOT_COVERED, found.note());
        }
        Status status = found.wrong() == 0 ? Status.PASS : Status.FAIL;
        return new Outcome(found.name(), status, (double) found.wrong() / found.texts(), found.note(), Double.NaN);
    }

    private static Outcome check(Fixture.Case test, Device device, DType type) throws IOException {
        Map<String, Tensor> computed = SelfcheckCases.compute(test);
        if (computed == null) {
            return new Outcome(test.name(), Status.FAIL, "no counterpart");
        }
        Tensor found = computed.get(SelfcheckCases.CONDITION);
        double condition = found == null ? Double.NaN : found.item();
        double largest = -1;
        String worst = "";
        boolean pass = true;
        List<String> outputs = test.outputs();
        for (String output : outputs) {
            Tensor mine = computed.get(output.replace("grad/dit.", "grad/"));
            if (mine == null) {
                return new Outcome(test.name(), Status.FAIL, "output " + output + " was not computed");
            }
            double error = relativeError(mine, test.out(output));
            pass &= error <= bound(output, device, type, condition);
            if (!(error <= largest)) {
                largest = error;
                worst = output;
            }
        }
        return new Outcome(
                test.name(), pass && !outputs.isEmpty() ? Status.PASS : Status.FAIL, largest, worst, condition);
    }

    private static double bound(String output, Device device, DType type, double condition) {
        boolean gradient = output.startsWith("grad/");
        if (type == DType.FLOAT64) {
            return gradient ? EXACT_GRADIENT_BOUND : EXACT_VALUE_BOUND;
        }
        double least = device.type() == Device.Type.CUDA ? GPU_BOUND : 0;
        return Math.max(
                least, gradient && !Double.isNaN(condition) ? GRADIENT_BOUND * Math.max(1, condition) : VALUE_BOUND);
    }

    private static double relativeError(Tensor mine, Tensor reference) {
        Tensor exact = reference.to(DType.FLOAT64);
        double difference = mine.detach()
                .to(Device.CPU)
                .to(DType.FLOAT64)
                .reshape(exact.shape())
                .sub(exact)
                .norm()
                .item();
        double size = exact.norm().item();
        // A zero reference, for a gradient that the loss does not have, must be matched exactly.
        return size == 0 ? (difference == 0 ? 0 : Double.POSITIVE_INFINITY) : difference / size;
    }
}
