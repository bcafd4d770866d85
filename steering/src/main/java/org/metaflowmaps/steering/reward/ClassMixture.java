package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The reward log Σ wᵢ·p(yᵢ|x) by a classifier: tilts the data towards a histogram of classes (the paper's MNIST
 * experiment). Owned by the caller.
 */
public final class ClassMixture implements Reward {
    private final ImageClassifier classifier;
    private final int classes;
    private final Constant logWeights;

    /**
     * A reward.
     *
     * @param classifier not owned
     * @param weights w: one for each class, in any unit (their sum is scaled to 1), none negative, at least one
     *     positive
     * @param device of the images
     */
    public ClassMixture(ImageClassifier classifier, double[] weights, Device device) {
        this.classifier = Preconditions.checkNotNull(classifier, "mixture reward: the classifier is null");
        double total = Arrays.stream(weights).sum();
        Preconditions.checkArgument(
                Arrays.stream(weights).allMatch(weight -> weight >= 0) && total > 0 && Double.isFinite(total),
                "mixture reward: weights are %s, expected finite numbers from 0, one for each class, and one above 0",
                Arrays.toString(weights));
        this.classes = weights.length;
        this.logWeights = Constant.of(
                Arrays.stream(weights).map(weight -> Math.log(weight / total)).toArray(), device, weights.length);
    }

    @Override
    public String name() {
        return "class mixture";
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor logs = Checks.logProbabilities(name(), classifier, samples, classes);
            Preconditions.checkArgument(
                    logs.size(1) == classes,
                    "reward %s has %s weights, the classifier %s classes: expected one weight for each class",
                    name(),
                    classes,
                    logs.size(1));
            return scope.keep(logs.add(logWeights.like(logs)).logsumexp(1));
        }
    }

    @Override
    public void close() {
        logWeights.close();
    }
}
