package org.metaflowmaps.cli.command;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.FidTable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.steering.metric.InceptionScore;
import org.metaflowmaps.steering.metric.KernelDistance;
import org.metaflowmaps.steering.metric.PrecisionRecall;

/** The metrics of {@code mfm evaluate fid}: which can be computed, and their values. */
final class FidMetrics {
    /** Fewer samples get a note. */
    private static final int USUAL_LEAST = 10_000;

    /** A metric, by its name on the command line. */
    enum Kind {
        fid,
        sfid,
        is,
        pr,
        kid
    }

    private final Set<Kind> chosen;
    private final List<String> notes = new ArrayList<>();

    private FidMetrics(Set<Kind> chosen) {
        this.chosen = chosen;
    }

    /**
     * Chooses metrics.
     *
     * @param wanted from the command line; empty for all that can be computed
     * @param reference null for none
     * @param isSpatial whether the network has features for sFID
     * @throws IllegalArgumentException if a wanted one cannot be computed
     */
    static FidMetrics choose(Set<Kind> wanted, @Nullable FidReference reference, boolean isSpatial) {
        FidMetrics metrics = new FidMetrics(EnumSet.noneOf(Kind.class));
        for (Kind kind : Kind.values()) {
            String lacking = lacking(kind, reference, isSpatial);
            if (lacking.isEmpty() && (wanted.isEmpty() || wanted.contains(kind))) {
                metrics.chosen.add(kind);
            } else if (!lacking.isEmpty() && wanted.contains(kind)) {
                throw new IllegalArgumentException("--metrics " + kind + ": " + lacking);
            } else if (!lacking.isEmpty() && wanted.isEmpty()) {
                metrics.notes.add("no " + kind + ": " + lacking);
            }
        }
        return metrics;
    }

    private static String lacking(Kind kind, @Nullable FidReference reference, boolean isSpatial) {
        if (kind == Kind.is) {
            return "";
        }
        if (kind == Kind.sfid && !isSpatial) {
            return "a TorchScript file does not return its features; give the weights that pytorch-fid publishes";
        }
        if (reference == null) {
            return "no --reference was given";
        }
        boolean published = (kind == Kind.fid || kind == Kind.sfid) && reference.isPublished(kind == Kind.sfid);
        if (published || reference.images() != null) {
            return "";
        }
        return reference.path() + (kind == Kind.sfid ? " has no mu_s and sigma_s, and no images" : " has no images");
    }

    /** Returns whether a metric needs the vectors of single images. */
    boolean needsVectors() {
        return chosen.contains(Kind.pr) || chosen.contains(Kind.kid);
    }

    /** Returns whether a metric needs the features of sFID. */
    boolean needsSpatial() {
        return chosen.contains(Kind.sfid);
    }

    /** Returns whether a metric needs the features of the reference's images. */
    boolean needsImages(FidReference reference) {
        return needsVectors()
                || (chosen.contains(Kind.fid) && !reference.isPublished(false))
                || (chosen.contains(Kind.sfid) && !reference.isPublished(true));
    }

    /** Returns what limits the results, for people. */
    List<String> notes() {
        return notes;
    }

    /** Computes the chosen metrics. */
    FidTable compute(FeatureSet samples, @Nullable FidReference reference, Device device) {
        FidTable table = new FidTable();
        for (Kind kind : chosen) {
            switch (kind) {
                case fid, sfid -> frechet(table, samples, Objects.requireNonNull(reference), kind == Kind.sfid);
                case is -> score(table, samples.score());
                case pr, kid -> {
                    FeatureSet other =
                            Objects.requireNonNull(reference).measured().orElseThrow();
                    try (TensorScope scope = TensorScope.open()) {
                        if (kind == Kind.pr) {
                            coverage(table, samples.vectors(), other.vectors(), device);
                        } else {
                            kernel(table, samples.vectors(), other.vectors(), device);
                        }
                    }
                }
            }
        }
        if (chosen.contains(Kind.fid) || chosen.contains(Kind.sfid)) {
            if (samples.count() <= samples.width()) {
                notes.add(samples.count() + " samples are too few for features of width " + samples.width()
                        + ": their covariance has no full rank, and FID is far too large; give at least "
                        + USUAL_LEAST);
            } else if (samples.count() < USUAL_LEAST) {
                notes.add("FID falls as the number of samples grows: compare values of equal N, better with at least "
                        + USUAL_LEAST);
            }
        }
        return table;
    }

    private static void frechet(FidTable table, FeatureSet samples, FidReference reference, boolean ofSpatial) {
        GaussianStatistics real = reference.statistics(ofSpatial).orElseThrow();
        Estimate found = ofSpatial ? samples.spatialFrechet(real) : samples.frechet(real);
        table.add(
                ofSpatial ? "sFID" : "FID",
                ofSpatial ? "sfid" : "fid",
                found,
                reference.origin(ofSpatial),
                "",
                Map.of());
    }

    private void score(FidTable table, InceptionScore score) {
        Map<String, Object> more = new LinkedHashMap<>();
        more.put("group", InceptionScore.USUAL_GROUP);
        more.put("deviation_of_groups", score.deviation());
        table.add(
                "Inception score",
                "inception_score",
                score.mean(),
                "",
                "groups of " + InceptionScore.USUAL_GROUP,
                more);
        if (score.rest() > 0) {
            notes.add("the last group of the Inception score has " + score.rest() + " images instead of "
                    + InceptionScore.USUAL_GROUP + "; scores of smaller groups are smaller");
        }
    }

    private static void coverage(FidTable table, Tensor samples, Tensor reference, Device device) {
        int neighbours = PrecisionRecall.USUAL_NEIGHBOURS;
        PrecisionRecall found = PrecisionRecall.of(samples, reference, neighbours, device);
        Map<String, Object> more = Map.of("k", neighbours);
        String remark = "k = " + neighbours;
        table.add("precision", "precision", found.precision(), reference.size(0) + " images", remark, more);
        table.add("recall", "recall", found.recall(), samples.size(0) + " samples", remark, more);
    }

    private static void kernel(FidTable table, Tensor samples, Tensor reference, Device device) {
        KernelDistance.Result found = new KernelDistance().between(samples, reference, device);
        Map<String, Object> more = new LinkedHashMap<>();
        more.put("subsets", found.subsets());
        more.put("subset_size", found.size());
        more.put("deviation_of_subsets", found.deviation());
        table.add(
                "KID",
                "kid",
                new Estimate(found.mean(), Double.NaN, samples.size(0)),
                reference.size(0) + " images",
                String.format(
                        Locale.ROOT, "%d subsets of %d, ± %.3g", found.subsets(), found.size(), found.deviation()),
                more);
    }
}
