package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;

/** Samplers with known images: the noised images, and noise. */
final class PosteriorFrechetTest {
    private static final int COUNT = 300;

    private final long live = NativeMemory.liveTensors();
    private final LabelledImages images = FashionMnist.test();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** A sampler of one evaluation. */
    private static Sampler<Context> given(BiFunction<Tensor, Context, Tensor> samples) {
        return (noise, context, listener) -> new SampleResult(samples.apply(noise.next(), context), 1, Duration.ZERO);
    }

    @Test
    void theImagesThemselvesAreAtTheFloorAndNoiseIsFarFromIt() {
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
            PosteriorFrechet frechet =
                    new PosteriorFrechet(classifier, images, COUNT, UnaryOperator.identity(), Device.CPU, 1);
            assertTrue(frechet.floor() > 0);
            // At t = 1 the state is the clean image.
            PosteriorFrechet.Distances perfect =
                    frechet.of(given((noise, context) -> context.state().clone()), 1);
            assertEquals(1, perfect.evaluations());
            assertEquals(0, perfect.toNoised(), 1e-4 * frechet.floor());
            assertEquals(frechet.floor(), perfect.toOthers(), 1e-4 * frechet.floor());
            PosteriorFrechet.Distances noisy =
                    frechet.of(given((noise, context) -> context.state().clone()), 0.5);
            PosteriorFrechet.Distances noise = frechet.of(given((start, context) -> start.clone()), 0.5);
            assertTrue(noisy.toOthers() > 2 * frechet.floor(), noisy + " over " + frechet.floor());
            assertTrue(
                    noise.toOthers() > noisy.toOthers() && noise.toNoised() > noisy.toNoised(),
                    noise + " over " + noisy);
        }
    }

    @Test
    void everySamplerSeesTheSameNoiseAndWhatItIsToldOfTheImages() {
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
            List<float[]> seen = new ArrayList<>();
            for (int run = 0; run < 2; run++) {
                new PosteriorFrechet(classifier, images, 4, labelled -> labelled.guided(2.5, 10), Device.CPU, 1)
                        .of(
                                given((noise, context) -> {
                                    seen.add(noise.toFloatArray());
                                    seen.add(context.state().toFloatArray());
                                    assertArrayEquals(
                                            new float[] {0.25f, 0.25f, 0.25f, 0.25f},
                                            context.time().toFloatArray());
                                    assertArrayEquals(
                                            new long[] {
                                                images.label(0), images.label(1), images.label(2), images.label(3)
                                            },
                                            context.condition()
                                                    .labels()
                                                    .orElseThrow()
                                                    .toLongArray());
                                    assertArrayEquals(
                                            new float[] {2.5f, 2.5f, 2.5f, 2.5f},
                                            context.condition()
                                                    .guidance()
                                                    .orElseThrow()
                                                    .toFloatArray());
                                    return noise.clone();
                                }),
                                0.25);
            }
            assertArrayEquals(seen.get(0), seen.get(2));
            assertArrayEquals(seen.get(1), seen.get(3));
            new PosteriorFrechet(classifier, images, 4, labelled -> Condition.none(), Device.CPU, 1)
                    .of(
                            given((noise, context) -> {
                                assertTrue(context.condition().labels().isEmpty());
                                assertTrue(context.condition().guidance().isEmpty());
                                return noise.clone();
                            }),
                            0.25);
        }
    }

    @Test
    void whatCannotBeMeasuredIsRefused() {
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
            for (int count : new int[] {1, 5001}) {
                assertThrows(
                        IllegalArgumentException.class,
                        () -> new PosteriorFrechet(classifier, images, count, UnaryOperator.identity(), Device.CPU, 1));
            }
            PosteriorFrechet frechet =
                    new PosteriorFrechet(classifier, images, 2, UnaryOperator.identity(), Device.CPU, 1);
            assertThrows(
                    IllegalArgumentException.class, () -> frechet.of(given((noise, context) -> noise.clone()), 1.5));
            assertThrows(
                    IllegalArgumentException.class, () -> frechet.of(given((noise, context) -> noise.div(0)), 0.5));
        }
    }
}
