package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Compares the networks of this package with values that other implementations computed, for {@code mfm selfcheck}. */
public final class ReferenceValues {
    private static final double EXACT = 1e-9;
    /** The reference of TensorFlow 1's resizing computes places in float32. */
    private static final double SINGLE = 5e-7;
    /** What single precision attains at most in the reference implementations is a tenth of these. */
    private static final double VALUE = 1e-5;

    private static final double GRADIENT = 4e-5;
    private static final double SCORE = 4e-5;
    /** Cosines near zero have a large relative error; their absolute error is bounded instead. */
    private static final double COSINE = 1e-6;

    private static final double DIRECTION = 0.999999;
    /** A GPU adds in another order, and its float32 functions are less exact than the CPU's. */
    private static final double GPU = 1e-4;

    private ReferenceValues() {}

    /** The outcome of a case. */
    public enum Status {
        /** All outputs are within their bounds. */
        PASS,
        /** An output is outside its bound, or was not computed. */
        FAIL,
        /** The case needs something that this library does not compute. */
        NOT_COVERED
    }

    /**
     * The result of one case.
     *
     * @param name the case, or the name of another file with the same weights
     * @param status the result
     * @param error the largest of the outputs' errors, max |a - b| / max |b|; NaN if nothing was compared
     * @param worst the output with this error, or the reason
     */
    public record Outcome(String name, Status status, double error, String worst) {}

    /**
     * Returns true if a file is one of reference values for this package's networks.
     *
     * @throws IOException if it is missing or damaged
     */
    public static boolean isFor(Path file) throws IOException {
        return ReferenceFile.is(file);
    }

    /**
     * Returns the names of other files with the same weights in other layouts, which are in the file's folder.
     *
     * @throws IOException if the file is missing or damaged
     */
    public static List<String> others(Path file) throws IOException {
        try (ReferenceFile open = new ReferenceFile(file, Device.CPU, DType.FLOAT32)) {
            return open.others();
        }
    }

    /**
     * Runs the cases of a file, and loads the other files in its folder that have the same weights.
     *
     * @param file a safetensors file of reference values
     * @param type the networks' type, float32 or float64
     * @param only the cases to run, by name
     * @return one outcome per case and per other file; a network or case that throws has failed
     * @throws IOException if the file is missing or damaged
     */
    public static List<Outcome> run(Path file, Device device, DType type, Predicate<String> only) throws IOException {
        Objects.requireNonNull(only, "run: only is null");
        List<Outcome> outcomes = new ArrayList<>();
        try (ReferenceFile open = new ReferenceFile(file, device, type)) {
            List<String> names = Stream.concat(open.cases().stream(), open.others().stream())
                    .filter(only)
                    .toList();
            ReferenceCases cases;
            try {
                cases = cases(open);
            } catch (IOException | RuntimeException e) {
                names.forEach(name -> outcomes.add(failed(name, e)));
                return outcomes;
            }
            for (String name : names) {
                try (TensorScope scope = TensorScope.open()) {
                    outcomes.add(
                            open.cases().contains(name) ? check(open.of(name), cases, open) : same(name, open, cases));
                } catch (IOException | RuntimeException e) {
                    outcomes.add(failed(name, e));
                }
            }
        }
        return outcomes;
    }

    private static Outcome failed(String name, Exception cause) {
        return new Outcome(name, Status.FAIL, Double.NaN, String.valueOf(cause.getMessage()));
    }

    private static @Nullable ReferenceCases cases(ReferenceFile file) throws IOException {
        return switch (file.kind()) {
            case "vae" -> new AutoencoderCases(file);
            case "taesd" -> new TinyAutoencoderCases(file);
            case "clip_hf", "clip_open", "hps", "pickscore" -> new ClipCases(file);
            case "imagereward" -> new RewardCases.Preferences(file);
            case "aesthetic" -> new RewardCases.Aesthetics(file);
            case "inception" -> new RewardCases.Fid(file);
            case "resize" -> new ResizeCases(file);
            default -> null;
        };
    }

    private static Outcome check(ReferenceFile.Case test, @Nullable ReferenceCases cases, ReferenceFile file)
            throws IOException {
        Map<String, Tensor> computed = cases == null ? null : cases.compute(test);
        if (computed == null) {
            return new Outcome(test.name(), Status.NOT_COVERED, Double.NaN, "");
        }
        double largest = -1;
        String worst = "no outputs";
        boolean pass = !test.outputs().isEmpty();
        double near = file.type() == DType.FLOAT64
                ? 0
                : COSINE * Objects.requireNonNull(cases).scoreScale();
        for (String output : test.outputs()) {
            Tensor mine = computed.get(output);
            if (mine == null) {
                return new Outcome(test.name(), Status.FAIL, Double.NaN, "output " + output + " was not computed");
            }
            Tensor reference = test.out(output);
            double error = error(mine, reference);
            boolean fits = error <= bound(test.name(), output, file)
                    || (isScore(output) && difference(mine, reference) <= near);
            if (fits && output.equals("gradient")) {
                fits = cosine(mine, reference) > DIRECTION;
            }
            pass &= fits;
            if (!(error <= largest)) {
                largest = error;
                worst = output;
            }
        }
        return new Outcome(test.name(), pass ? Status.PASS : Status.FAIL, largest, worst);
    }

    private static double bound(String test, String output, ReferenceFile file) {
        if (file.type() == DType.FLOAT64) {
            return test.startsWith("tensorflow1") ? SINGLE : EXACT;
        }
        double least = file.device().type() == Device.Type.CUDA ? GPU : 0;
        return Math.max(least, output.equals("gradient") ? GRADIENT : isScore(output) ? SCORE : VALUE);
    }

    private static boolean isScore(String output) {
        return output.equals("cosine") || output.equals("score") || output.startsWith("logits_per");
    }

    private static double error(Tensor mine, Tensor reference) {
        double difference = difference(mine, reference);
        if (!reference.dtype().isFloatingPoint()) {
            return difference == 0 ? 0 : Double.POSITIVE_INFINITY;
        }
        return difference == 0 ? 0 : difference / largest(reference.toDoubleArray());
    }

    private static double difference(Tensor mine, Tensor reference) {
        if (!mine.shape().equals(reference.shape())) {
            return Double.POSITIVE_INFINITY;
        }
        double[] differences = mine.toDoubleArray();
        double[] values = reference.toDoubleArray();
        for (int i = 0; i < differences.length; i++) {
            differences[i] -= values[i];
        }
        return largest(differences);
    }

    /** Returns NaN if any element is: it is then outside every bound. */
    private static double largest(double[] values) {
        double largest = 0;
        for (double value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    private static double cosine(Tensor mine, Tensor reference) {
        double[] a = mine.toDoubleArray();
        double[] b = reference.toDoubleArray();
        double product = 0;
        double first = 0;
        double second = 0;
        for (int i = 0; i < a.length; i++) {
            product += a[i] * b[i];
            first += a[i] * a[i];
            second += b[i] * b[i];
        }
        return product / Math.sqrt(first * second);
    }

    /** Loads another file with the same weights, which must give the same network bit for bit. */
    private static Outcome same(String name, ReferenceFile file, @Nullable ReferenceCases cases) throws IOException {
        if (cases == null || !Files.exists(file.folder().resolve(name))) {
            return new Outcome(name, Status.NOT_COVERED, Double.NaN, cases == null ? "" : "the file is missing");
        }
        try (TensorScope scope = TensorScope.open();
                Network other = cases.other(name)) {
            if (other == null) {
                return new Outcome(name, Status.NOT_COVERED, Double.NaN, "");
            }
            ParameterArena own = cases.own(other);
            for (Map.Entry<String, Tensor> entry :
                    other.parameters().parameters().entrySet()) {
                Tensor mine = own.parameters().get(entry.getKey());
                if (mine == null
                        || !mine.shape().equals(entry.getValue().shape())
                        || mine.ne(entry.getValue()).any().item() != 0) {
                    return new Outcome(name, Status.FAIL, Double.NaN, entry.getKey() + " differs");
                }
            }
            return new Outcome(name, Status.PASS, 0, "equal bit for bit");
        }
    }
}
