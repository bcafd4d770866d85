package org.metaflowmaps.steering.evaluation;

import java.util.Locale;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;

/** The architecture of a classifier to train. */
public enum ClassifierKind {
    /** {@link FashionClassifier}. */
    CONVOLUTIONAL,
    /** {@link FashionJudge}. */
    MIXER;

    /** Returns a classifier to train, owned by the caller. */
    TrainedClassifier initialised(Device device, RandomSource random) {
        return switch (this) {
            case CONVOLUTIONAL -> FashionClassifier.initialised(device, random);
            case MIXER -> FashionJudge.initialised(device, random);
        };
    }

    /** Returns the name in commands. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
