package org.metaflowmaps.cli.report;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.metaflowmaps.steering.evaluation.FrontierCell;
import org.metaflowmaps.steering.evaluation.FrontierMethod;
import org.metaflowmaps.steering.evaluation.FrontierResult;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;

/** Sentences about a study of steering methods, computed from its results. */
final class FrontierConclusions {
    /** Costs at which methods are compared, in samples without steering. */
    private static final List<Integer> BUDGETS = List.of(5, 20, 100, 500);

    /** Several distances may be 0 after the chance is removed; then the measured one decides. */
    private static final Comparator<FrontierResult> BY_DISTANCE = Comparator.comparingDouble(FrontierResult::corrected)
            .thenComparingDouble(result -> result.distance().value());

    private static final Score REWARD = new Score("reward", FrontierResult::reward);
    private static final Score JUDGE = new Score("judge's score", FrontierResult::judge);
    private static final List<Score> SCORES = List.of(REWARD, JUDGE);

    private final List<FrontierResult> results;

    /** A score that best-of-N and the other methods are compared by. */
    private record Score(String text, Function<FrontierResult, Estimate> estimate) {
        double of(FrontierResult result) {
            return estimate.apply(result).value();
        }
    }

    FrontierConclusions(List<FrontierResult> results) {
        this.results = results;
    }

    /** Returns all sentences that the results allow. */
    List<String> sentences() {
        List<String> all = new ArrayList<>();
        for (FrontierMethod method : List.of(FrontierMethod.MFM_G, FrontierMethod.MFM_G_RESCALED)) {
            for (Score score : SCORES) {
                single(method, score).ifPresent(all::add);
            }
        }
        for (Score score : SCORES) {
            all.addAll(overtaking(score));
        }
        histogram().ifPresent(all::add);
        all.addAll(budgets("evaluations", FrontierResult::evaluations));
        all.addAll(budgets(
                FrontierReport.isTimedByProcessor(results) ? "processor seconds" : "seconds",
                FrontierReport.seconds(results)));
        gap().ifPresent(all::add);
        return all;
    }

    private Stream<FrontierResult> of(FrontierMethod method) {
        return results.stream().filter(result -> result.cell().method() == method);
    }

    private Optional<FrontierResult> largestBestOf() {
        return of(FrontierMethod.BEST_OF)
                .max(Comparator.comparingInt(result -> result.cell().setting()));
    }

    /** Compares one draw with the best of the most samples. */
    private Optional<String> single(FrontierMethod method, Score score) {
        Optional<FrontierResult> one =
                of(method).filter(result -> result.cell().setting() == 1).findFirst();
        return one.flatMap(mine -> largestBestOf().map(best -> {
            Estimate left = score.estimate.apply(mine);
            Estimate right = score.estimate.apply(best);
            double difference = left.value() - right.value();
            double error = Math.hypot(left.error(), right.error());
            String verdict = Double.isNaN(error)
                    ? "of unknown error"
                    : Math.abs(difference) < 2 * error
                            ? "within two standard errors"
                            : difference > 0 ? "so one draw is better" : "so the best is better";
            return String.format(
                    Locale.ROOT,
                    "Mean %s: %s has %s for %,d evaluations, the best of %,d has %s for %,d; the difference is %.3f ±"
                            + " %.3f, %s.",
                    score.text,
                    mine.cell(),
                    text(left),
                    mine.evaluations(),
                    best.cell().setting(),
                    text(right),
                    best.evaluations(),
                    difference,
                    error,
                    verdict);
        }));
    }

    private static String text(Estimate estimate) {
        return String.format(Locale.ROOT, "%.3f ± %.3f", estimate.value(), estimate.error());
    }

    /** Returns the smallest measured N whose best-of-N has at least a result's mean; empty if none has. */
    private OptionalInt equalBestOf(FrontierResult result, Score score) {
        return of(FrontierMethod.BEST_OF)
                .filter(best -> score.of(best) >= score.of(result))
                .mapToInt(best -> best.cell().setting())
                .min();
    }

    /** Returns the columns of the table that compare with best-of-N: by reward and by the judge. */
    List<String> equalBestOf(FrontierResult result) {
        List<String> cells = new ArrayList<>();
        for (Score score : SCORES) {
            OptionalInt equal = equalBestOf(result, score);
            boolean compared = largestBestOf().isPresent()
                    && result.cell().method() != FrontierMethod.BEST_OF
                    && result.cell().method() != FrontierMethod.BASE;
            cells.add(
                    !compared
                            ? "–"
                            : equal.isPresent()
                                    ? Integer.toString(equal.getAsInt())
                                    : "> "
                                            + largestBestOf()
                                                    .orElseThrow()
                                                    .cell()
                                                    .setting());
        }
        return cells;
    }

    private List<String> overtaking(Score score) {
        List<String> all = new ArrayList<>();
        for (FrontierMethod method : FrontierMethod.values()) {
            if (method == FrontierMethod.BASE
                    || method == FrontierMethod.BEST_OF
                    || largestBestOf().isEmpty()) {
                continue;
            }
            of(method).max(Comparator.comparingDouble(score::of)).ifPresent(best -> all.add(overtaken(best, score)));
        }
        return all;
    }

    private String overtaken(FrontierResult result, Score score) {
        OptionalInt equal = equalBestOf(result, score);
        String head = String.format(
                Locale.ROOT,
                "Mean %s: the most of %s is %s (%s, %,d evaluations); ",
                score.text,
                result.cell().method(),
                text(score.estimate.apply(result)),
                setting(result.cell()),
                result.evaluations());
        if (equal.isEmpty()) {
            return head + "no best-of-N reaches it, up to N = "
                    + largestBestOf().orElseThrow().cell().setting() + ".";
        }
        FrontierResult best = of(FrontierMethod.BEST_OF)
                .filter(other -> other.cell().setting() == equal.getAsInt())
                .findFirst()
                .orElseThrow();
        return head
                + String.format(
                        Locale.ROOT,
                        "best-of-N reaches it from N = %,d on, with %,d evaluations.",
                        equal.getAsInt(),
                        best.evaluations());
    }

    private static String setting(FrontierCell cell) {
        return cell.method().letter().isEmpty() ? "one setting" : cell.method().letter() + " = " + cell.setting();
    }

    private Optional<String> histogram() {
        Optional<FrontierResult> least = results.stream().min(BY_DISTANCE);
        return least.map(best -> {
            StringBuilder text = new StringBuilder(String.format(
                    Locale.ROOT,
                    "Histogram distance, chance removed: the least is %.3f (measured %s) of %s, %,d evaluations",
                    best.corrected(),
                    text(best.distance()),
                    best.cell(),
                    best.evaluations()));
            of(FrontierMethod.BASE)
                    .findFirst()
                    .ifPresent(base ->
                            text.append(String.format(Locale.ROOT, "; without steering it is %.3f", base.corrected())));
            largestBestOf()
                    .ifPresent(largest -> text.append(
                            String.format(Locale.ROOT, "; %s has %.3f", largest.cell(), largest.corrected())));
            return text.append('.').toString();
        });
    }

    private List<String> budgets(String unit, ToDoubleFunction<FrontierResult> cost) {
        List<String> all = new ArrayList<>();
        of(FrontierMethod.BASE).findFirst().ifPresent(base -> {
            for (int samples : BUDGETS) {
                double budget = samples * cost.applyAsDouble(base);
                // The measured seconds of one method vary by a few per cent.
                List<FrontierResult> within = results.stream()
                        .filter(result -> cost.applyAsDouble(result) <= 1.05 * budget)
                        .toList();
                FrontierResult reward = best(within, Comparator.comparingDouble(REWARD::of));
                FrontierResult judge = best(within, Comparator.comparingDouble(JUDGE::of));
                FrontierResult distance = best(within, BY_DISTANCE.reversed());
                all.add(String.format(
                        Locale.ROOT,
                        "Within the %s of %d samples without steering (%,.4g): most reward %s (%.3f), most of the"
                                + " judge's score %s (%.3f), least histogram distance %s (%.3f).",
                        unit,
                        samples,
                        budget,
                        reward.cell(),
                        REWARD.of(reward),
                        judge.cell(),
                        JUDGE.of(judge),
                        distance.cell(),
                        distance.corrected()));
            }
        });
        return all;
    }

    private static FrontierResult best(List<FrontierResult> within, Comparator<FrontierResult> order) {
        return within.stream().max(order).orElseThrow();
    }

    private static double excess(FrontierResult result) {
        return REWARD.of(result) - JUDGE.of(result);
    }

    private Optional<String> gap() {
        return results.stream()
                .max(Comparator.comparingDouble(FrontierConclusions::excess))
                .flatMap(most -> of(FrontierMethod.BASE)
                        .findFirst()
                        .map(base -> String.format(
                                Locale.ROOT,
                                "The reward exceeds the judge's score most for %s, by %.3f; without steering by %.3f.",
                                most.cell(),
                                excess(most),
                                excess(base))));
    }
}
