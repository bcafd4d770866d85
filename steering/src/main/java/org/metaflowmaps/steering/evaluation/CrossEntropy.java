package org.metaflowmaps.steering.evaluation;

import java.util.List;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.Loss;
import org.metaflowmaps.training.Objective;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.LossValue;

/**
 * The cross-entropy of a classifier's outputs with smoothed labels; deterministic.
 *
 * @param classifier the classifier to train, not owned
 * @param smoothing fraction of a label spread over all classes
 */
record CrossEntropy(TrainedClassifier classifier, double smoothing) implements Objective<TrainingData.Batch> {
    /** The loss's name. */
    static final String NAME = "cross_entropy";

    @Override
    public TrainingData.Batch draw(TrainingData.Batch batch, long step) {
        return batch;
    }

    @Override
    public List<Loss> losses(TrainingData.Batch batch) {
        return List.of(new Loss(NAME, () -> {
            Tensor loss = Torch.crossEntropy(classifier.outputs(batch.items()), batch.labels(), smoothing);
            return new LossValue(loss, loss.detach());
        }));
    }

    @Override
    public List<ParameterArena> parameters() {
        return List.of(classifier.parameters());
    }

    @Override
    public void close() {
        // The caller owns the classifier.
    }
}
