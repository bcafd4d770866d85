package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.stream.Collectors;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The reward Σ wⱼ·(rⱼ - meanⱼ)/sdⱼ: rewards of different scales are standardised before they are weighted. Closes its
 * rewards.
 *
 * @param terms at least one; all of states, or all of images
 */
public record WeightedSum(List<Term> terms) implements Reward {
    /**
     * One reward of a sum.
     *
     * @param reward closed with the sum
     * @param weight w, finite and not 0. A negative one turns the score -∞ into +∞, which ends a run
     * @param mean of the reward's scores on base samples, finite
     * @param deviation their standard deviation, above 0
     */
    public record Term(Reward reward, double weight, double mean, double deviation) {
        /** Checks the numbers. */
        public Term {
            Preconditions.checkNotNull(reward, "sum of rewards: a reward is null");
            Preconditions.checkArgument(
                    Double.isFinite(weight) && weight != 0,
                    "sum of rewards: the weight of %s is %s, expected a finite number other than 0",
                    reward.name(),
                    weight);
            Preconditions.checkArgument(
                    Double.isFinite(mean),
                    "sum of rewards: the mean of %s is %s, expected a finite number",
                    reward.name(),
                    mean);
            Checks.deviation("sum of rewards", "the standard deviation of " + reward.name(), deviation);
        }

        /** Standardises by the mean and standard deviation of a calibration. */
        public static Term of(Reward reward, double weight, Calibration calibration) {
            return new Term(reward, weight, calibration.mean(), calibration.deviation());
        }
    }

    /** Checks that all terms score the same kind of samples. */
    public WeightedSum {
        terms = List.copyOf(terms);
        Preconditions.checkArgument(!terms.isEmpty(), "sum of rewards: there are no terms, expected at least one");
        List<Reward> states =
                terms.stream().map(Term::reward).filter(Reward::takesStates).toList();
        Preconditions.checkArgument(
                states.isEmpty() || states.size() == terms.size(),
                "sum of rewards: %s takes states and others take images: use rewards of one kind",
                states.isEmpty() ? "" : states.getFirst().name());
    }

    @Override
    public String name() {
        return terms.stream().map(term -> term.reward().name()).collect(Collectors.joining(" + "));
    }

    @Override
    public String description() {
        return terms.stream()
                .map(term -> term.weight() + "*(" + term.reward().description() + " - " + term.mean() + ")/"
                        + term.deviation())
                .collect(Collectors.joining(" + "));
    }

    @Override
    public double rounding() {
        return terms.stream()
                .mapToDouble(term -> Math.abs(term.weight())
                        / term.deviation()
                        * term.reward().rounding())
                .sum();
    }

    @Override
    public String diagnosis() {
        return terms.stream()
                .map(term -> term.reward().diagnosis())
                .filter(text -> !text.isEmpty())
                .findFirst()
                .orElse("");
    }

    @Override
    public boolean isConcurrent() {
        return terms.stream().allMatch(term -> term.reward().isConcurrent());
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(terms.stream()
                    .map(term -> term.reward()
                            .score(samples, condition)
                            .sub(term.mean())
                            .mul(term.weight() / term.deviation()))
                    .reduce(Tensor::add)
                    .orElseThrow());
        }
    }

    @Override
    public boolean isDifferentiable() {
        return terms.stream().allMatch(term -> term.reward().isDifferentiable());
    }

    @Override
    public boolean takesStates() {
        return terms.getFirst().reward().takesStates();
    }

    @Override
    public void close() {
        terms.forEach(term -> term.reward().close());
    }
}
