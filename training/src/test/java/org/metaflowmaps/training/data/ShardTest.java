package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.model.Refusal;

/** All ranks together do what one process does with as many times the batch. */
final class ShardTest {
    private static final int ITEMS = 23;

    private static long[] indices(EpochOrder order, long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            return order.indices(position, count).toLongArray();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5})
    void ranksShareEachBatch(int ranks) {
        int batch = 4;
        try (EpochOrder whole = new EpochOrder(ITEMS, 3, Shard.WHOLE, Device.CPU)) {
            for (int step = 0; step < 20; step++) {
                long[] expected = indices(whole, (long) step * batch * ranks, batch * ranks);
                long[] shared = new long[batch * ranks];
                for (int rank = 0; rank < ranks; rank++) {
                    try (EpochOrder own = new EpochOrder(ITEMS, 3, new Shard(rank, ranks), Device.CPU)) {
                        long[] part = indices(own, (long) step * batch, batch);
                        for (int i = 0; i < batch; i++) {
                            shared[i * ranks + rank] = part[i];
                        }
                    }
                }
                assertArrayEquals(expected, shared, "step " + step);
            }
        }
    }

    @Test
    void anEpochOfAllRanksSeesEachItemOnce() {
        int ranks = 23;
        long[] seen = IntStream.range(0, ranks).mapToLong(rank -> {
            try (EpochOrder own = new EpochOrder(ITEMS, 8, new Shard(rank, ranks), Device.CPU)) {
                return indices(own, 5, 1)[0];
            }
        }).sorted().toArray();
        assertArrayEquals(LongStream.range(0, ITEMS).toArray(), seen);
    }

    /** Every stream must agree with its own whole, bit for bit. */
    static void assertShared(TrainingData whole, TrainingData first, TrainingData second) {
        try (TensorScope scope = TensorScope.open()) {
            for (long position : new long[] {0, 3, 8, 50}) {
                TrainingData.Batch all = whole.batch(2 * position, 6);
                TrainingData.Batch even = first.batch(position, 3);
                TrainingData.Batch odd = second.batch(position, 3);
                long[] shape = all.items().shape();
                assertArrayEquals(all.items().toFloatArray(), Torch.stack(1, even.items(), odd.items()).reshape(shape).toFloatArray());
                assertArrayEquals(all.labels().toLongArray(), Torch.stack(1, even.labels(), odd.labels()).reshape(6).toLongArray());
            }
        }
    }

    @Test
    void imagesInMemoryAreShared() {
        byte[] pixels = new byte[ITEMS * 4];
        byte[] labels = new byte[ITEMS];
        new Random(1).nextBytes(pixels);
        for (int i = 0; i < ITEMS; i++) {
            labels[i] = (byte) (i % 3);
        }
        LabelledImages images = new LabelledImages(pixels, 1, 2, 2, labels, List.of("a", "b", "c"));
        try (ImageData whole = new ImageData(images, ITEMS, 4, Device.CPU);
                ImageData first = new ImageData(images, ITEMS, 4, new Shard(0, 2), Device.CPU);
                ImageData second = new ImageData(images, ITEMS, 4, new Shard(1, 2), Device.CPU)) {
            assertShared(whole, first, second);
        }
    }

    @Test
    void drawsOfAMixtureAreShared() {
        List<double[]> means = List.of(new double[] {-3, 1}, new double[] {2, 2});
        try (MixtureData whole = new MixtureData(means, 0.5, 4, Device.CPU);
                MixtureData first = new MixtureData(means, 0.5, 4, new Shard(0, 2), Device.CPU);
                MixtureData second = new MixtureData(means, 0.5, 4, new Shard(1, 2), Device.CPU)) {
            assertShared(whole, first, second);
        }
    }

    @Test
    void ranksThatAreNoneAreRefused() {
        Refusal.assertRefused(() -> new Shard(0, 0), "0 ranks");
        Refusal.assertRefused(() -> new Shard(2, 2), "rank 2 of 2", "0 to 1");
        Refusal.assertRefused(() -> new Shard(-1, 2), "rank -1 of 2");
    }
}
