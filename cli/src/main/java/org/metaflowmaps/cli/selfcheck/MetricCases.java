package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.selfcheck.Selfcheck.Outcome;
import org.metaflowmaps.cli.selfcheck.Selfcheck.Status;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.metric.FeatureMoments;
import org.metaflowmaps.steering.metric.FrechetDistance;
import org.metaflowmaps.steering.metric.InceptionScore;
import org.metaflowmaps.steering.metric.KernelDistance;
import org.metaflowmaps.steering.metric.PrecisionRecall;
import tools.jackson.databind.JsonNode;

/**
 * Reference values of distances between sets of features: FID and its companions.
 *
 * <p>Features are used in the type of the check; the metrics compute in float64 for either.
 */
final class MetricCases {
    static final String KIND = "metrics";
    private static final String CASE = "case/";

    private static final double VALUE = 1e-5;
    private static final double EXACT = 1e-9;
    /** The reference rounds shares to float32. */
    private static final double SINGLE = 1e-7;
    /** Without full rank, eigenvalues of 0 become roots of rounding errors. */
    private static final double SINGULAR = 1e-7;
    /** Formulas with matrices that are not symmetric round more then. */
    private static final double ASYMMETRIC = 1e-5;
    /** A distance of a set to itself is compared by its absolute value. */
    private static final double ZERO = 1e-9;

    private final SafetensorsFile file;
    private final Device device;
    private final DType type;

    private MetricCases(SafetensorsFile file, Device device, DType type) {
        this.file = file;
        this.device = device;
        this.type = type;
    }

    static List<Outcome> run(Path path, Device device, DType type, Pattern only) throws IOException {
        List<Outcome> outcomes = new ArrayList<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            MetricCases cases = new MetricCases(file, device, type);
            for (String key : file.metadata().keySet().stream().sorted().toList()) {
                if (key.startsWith(CASE)
                        && only.matcher(key.substring(CASE.length())).find()) {
                    String name = key.substring(CASE.length());
                    try (TensorScope scope = TensorScope.open()) {
                        outcomes.add(cases.check(
                                name,
                                StrictJson.object(String.valueOf(file.metadata().get(key)))));
                    } catch (RuntimeException e) {
                        outcomes.add(new Outcome(name, Status.FAIL, String.valueOf(e.getMessage())));
                    }
                }
            }
        }
        return outcomes;
    }

    private Outcome check(String name, JsonNode numbers) {
        Map<String, Tensor> computed = compute(name, numbers);
        if (computed == null) {
            return new Outcome(name, Status.NOT_COVERED, "");
        }
        String prefix = CASE + name + "/out/";
        double largest = -1;
        String worst = "no outputs";
        boolean pass = true;
        for (String key : file.entries().keySet()) {
            if (!key.startsWith(prefix)) {
                continue;
            }
            String output = key.substring(prefix.length());
            Tensor mine = computed.get(output);
            if (mine == null) {
                return new Outcome(name, Status.FAIL, "output " + output + " was not computed");
            }
            Tensor reference = file.view(key).to(DType.FLOAT64);
            double difference = mine.sub(reference).abs().max().item();
            boolean distance = output.startsWith("fid");
            double error = difference == 0 || (distance && difference <= ZERO)
                    ? 0
                    : difference / reference.abs().max().item();
            pass &= error <= bound(output, computed.containsKey("singular"));
            if (!(error <= largest)) {
                largest = error;
                worst = output;
            }
        }
        return new Outcome(name, pass && largest >= 0 ? Status.PASS : Status.FAIL, largest, worst, Double.NaN);
    }

    private double bound(String output, boolean singular) {
        if (singular && (output.equals("fid") || output.equals("fid_scipy"))) {
            return ASYMMETRIC;
        }
        if (type != DType.FLOAT64) {
            return VALUE;
        }
        if (singular && output.equals("fid_eigh")) {
            return SINGULAR;
        }
        return output.equals("precision") || output.equals("recall") ? SINGLE : EXACT;
    }

    /** Returns the outputs; null for a case of an unknown kind. */
    private @Nullable Map<String, Tensor> compute(String name, JsonNode numbers) {
        if (has(name, "logits")) {
            InceptionScore score = new InceptionScore(numbers.path("group").asInt(InceptionScore.USUAL_GROUP));
            score.add(in(name, "logits"));
            return Map.of("mean", scalar(score.mean().value()), "std", scalar(score.deviation()));
        }
        if (has(name, "samples") && has(name, "reference")) {
            PrecisionRecall found = PrecisionRecall.of(
                    in(name, "samples"),
                    in(name, "reference"),
                    numbers.path("k").asInt(PrecisionRecall.USUAL_NEIGHBOURS),
                    device);
            return Map.of(
                    "precision",
                    scalar(found.precision().value()),
                    "recall",
                    scalar(found.recall().value()));
        }
        if (!has(name, "features_1") || !has(name, "features_2")) {
            return null;
        }
        Tensor first = in(name, "features_1");
        Tensor second = in(name, "features_2");
        if (file.entries().containsKey(CASE + name + "/out/kid")) {
            KernelDistance whole = new KernelDistance(1, Math.toIntExact(Math.max(first.size(0), second.size(0))), 1);
            return Map.of("kid", scalar(whole.between(first, second, device).mean()));
        }
        return frechet(first, second);
    }

    private static Map<String, Tensor> frechet(Tensor first, Tensor second) {
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        FeatureMoments left = moments(first, "1", outputs);
        FeatureMoments right = moments(second, "2", outputs);
        Tensor distance = scalar(FrechetDistance.between(left, right));
        for (String formula : List.of("fid", "fid_scipy", "fid_eigh")) {
            outputs.put(formula, distance);
        }
        if (Math.min(left.count(), right.count()) <= left.width()) {
            outputs.put("singular", distance);
        }
        return outputs;
    }

    private static FeatureMoments moments(Tensor features, String number, Map<String, Tensor> outputs) {
        int width = Math.toIntExact(features.size(1));
        FeatureMoments moments = new FeatureMoments(width);
        moments.add(features);
        outputs.put("mu_" + number, Torch.of(moments.mean()));
        outputs.put("sigma_" + number, Torch.of(moments.covariance(), width, width));
        return moments;
    }

    private static Tensor scalar(double value) {
        return Torch.of(new double[] {value}, new long[0]);
    }

    private boolean has(String name, String input) {
        return file.entries().containsKey(CASE + name + "/in/" + input);
    }

    private Tensor in(String name, String input) {
        return file.view(CASE + name + "/in/" + input).to(device).to(type);
    }
}
