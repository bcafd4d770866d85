package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The reward log p(y|x) of one class y by a classifier.
 *
 * @param classifier not owned
 * @param label y, from 0
 */
public record ClassLogLikelihood(ImageClassifier classifier, int label) implements Reward {
    /** Checks the label. */
    public ClassLogLikelihood {
        Preconditions.checkNotNull(classifier, "class reward: the classifier is null");
        Preconditions.checkArgument(label >= 0, "class reward: the class is %s, expected a number from 0", label);
    }

    @Override
    public String name() {
        return "class " + label;
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(Checks.logProbabilities(name(), classifier, samples, label + 1)
                    .select(1, label));
        }
    }
}
