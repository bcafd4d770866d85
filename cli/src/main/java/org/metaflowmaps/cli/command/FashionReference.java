package org.metaflowmaps.cli.command;

import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.steering.evaluation.FashionJudge;
import org.metaflowmaps.steering.evaluation.ImageFeatures;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;

/** What samples of Fashion-MNIST are compared with: features, a judge of classes, and the test images. */
final class FashionReference implements AutoCloseable {
    private final Device device;
    private final FashionClassifier classifier;
    private final FashionJudge judge;
    private @Nullable SampleStatistics real;

    FashionReference(Device device) {
        this.device = device;
        this.classifier = FashionClassifier.shipped(device);
        try {
            this.judge = FashionJudge.shipped(device);
        } catch (RuntimeException e) {
            classifier.close();
            throw e;
        }
    }

    FashionJudge judge() {
        return judge;
    }

    ImageFeatures features() {
        return ImageFeatures.of(classifier);
    }

    /** Returns statistics without images. */
    SampleStatistics empty() {
        return new SampleStatistics(features(), Optional.of(judge), FashionMnist.CLASSES.size());
    }

    /** Returns the statistics of the test images, computed at the first call. */
    SampleStatistics real() {
        if (real == null) {
            LabelledImages images = FashionMnist.test();
            real = empty();
            real.add(images, 0, images.count(), device);
        }
        return real;
    }

    /** Draws samples of a map into statistics. */
    static void add(SampleStatistics to, MapSamples samples, MetaFlowMap map, int steps) {
        boolean labelled = samples.areLabelled(map);
        samples.draw(
                map,
                MapSamples.ode(map, steps),
                (drawn, condition, labels) -> add(to, drawn, labelled ? labels : null));
    }

    /** Adds samples in [-1, 1]. */
    static void add(SampleStatistics to, Tensor samples, @Nullable Tensor labels) {
        to.add(new PixelDecoder().decode(samples), Optional.ofNullable(labels));
    }

    @Override
    public void close() {
        classifier.close();
        judge.close();
    }
}
