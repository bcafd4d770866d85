package org.metaflowmaps.steering;

import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.training.data.TrainingData;

/** Data without classes for networks without classes; closes the data. */
public record UnlabelledData(TrainingData data) implements TrainingData {
    @Override
    public Shape itemShape() {
        return data.itemShape();
    }

    @Override
    public int classes() {
        return 0;
    }

    @Override
    public Batch batch(long position, int count) {
        return data.batch(position, count);
    }

    @Override
    public void close() {
        data.close();
    }
}
