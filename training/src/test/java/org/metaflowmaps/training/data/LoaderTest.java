package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;

/** A loader with items implemented in this test. */
final class LoaderTest {
    private static final int COUNT = 30;

    /** Item i is the point (i, 2 i) with label i mod 3. */
    private static class Points implements Items {
        private int closed;

        @Override
        public int count() {
            return COUNT;
        }

        @Override
        public Shape itemShape() {
            return Shape.of(2);
        }

        @Override
        public int classes() {
            return 3;
        }

        @Override
        public int label(int index) {
            return index % 3;
        }

        @Override
        public void read(int index, MemorySegment row) throws IOException {
            row.setAtIndex(ValueLayout.JAVA_FLOAT, 0, index);
            row.setAtIndex(ValueLayout.JAVA_FLOAT, 1, 2 * index);
        }

        @Override
        public void close() {
            closed++;
        }
    }

    private static final class Resident extends Points {
        @Override
        public boolean isInMemory() {
            return true;
        }
    }

    private static Loader open(Items items, int workers) throws IOException {
        return new Loader(items, 4, Reading.of(workers), Device.CPU);
    }

    private static List<Integer> numbers(TrainingData.Batch batch) {
        float[] items = batch.items().toFloatArray();
        long[] labels = batch.labels().toLongArray();
        List<Integer> numbers = new ArrayList<>();
        for (int i = 0; i < labels.length; i++) {
            assertEquals(2 * items[2 * i], items[2 * i + 1]);
            assertEquals((int) items[2 * i] % 3, labels[i]);
            numbers.add((int) items[2 * i]);
        }
        return numbers;
    }

    private static List<Integer> numbers(TrainingData data, long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            return numbers(data.batch(position, count));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void itemsInMemoryComeInTheSameOrder(int workers) throws IOException {
        try (Loader streamed = open(new Points(), workers);
                Loader resident = open(new Resident(), 0)) {
            for (long position : new long[] {0, 7, 14, 28, 1_000_000, 3}) {
                assertEquals(numbers(resident, position, 7), numbers(streamed, position, 7));
            }
            assertEquals(COUNT, new HashSet<>(numbers(streamed, 0, COUNT)).size());
        }
    }

    /** Rows of float32 are passed to the trainer without a copy, so the next batch must not overwrite them. */
    @Test
    void aBatchStaysAsItWasWhenTheNextOneComes() throws IOException {
        try (Loader data = open(new Points(), 1);
                TensorScope scope = TensorScope.open()) {
            TrainingData.Batch first = data.batch(0, 5);
            List<Integer> before = numbers(first);
            assertFalse(before.equals(numbers(data.batch(5, 5))));
            assertEquals(before, numbers(first));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4, 7})
    void shardsShareTheItemsBetweenThem(int shards) throws IOException {
        Points items = new Points();
        long live = NativeMemory.liveTensors();
        try (Loader whole = new Loader(items, 4, Reading.of(0).holdingOut(3), Device.CPU)) {
            List<Integer> all = new ArrayList<>();
            Set<List<Integer>> places = new HashSet<>();
            for (int index = 0; index < shards; index++) {
                try (Loader shard = whole.shard(index, shards);
                        Loader again = whole.shard(index, shards)) {
                    int own = (COUNT - 3 + shards - 1 - index) / shards;
                    List<Integer> epoch = numbers(shard, 0, own);
                    all.addAll(epoch);
                    assertEquals(epoch, numbers(again, 0, own));
                    List<Integer> sorted = epoch.stream().sorted().toList();
                    places.add(epoch.stream().limit(4).map(sorted::indexOf).toList());
                    assertEquals(3, shard.heldOut());
                    if (shards == 1) {
                        assertEquals(numbers(whole, 0, own), epoch);
                    }
                }
            }
            assertEquals(COUNT - 3, all.size());
            assertEquals(COUNT - 3, new HashSet<>(all).size(), "no item is in two shards");
            assertTrue(places.size() > shards / 2, "each shard has an order of its own: " + places);
            Refusal.assertRefused(() -> whole.shard(shards, shards).close(), "shard " + shards, "0 to " + (shards - 1));
            Refusal.assertRefused(() -> whole.shard(0, COUNT).close(), "30 shards of 27 items");
            assertEquals(0, items.closed, "shards leave the items open");
        }
        assertEquals(1, items.closed);
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void weightsFollowTheirItems() throws IOException {
        Items weighted = new Points() {
            @Override
            public boolean isWeighted() {
                return true;
            }

            @Override
            public float weight(int index) {
                return index * 0.5f;
            }
        };
        try (Loader data = new Loader(weighted, 4, Reading.of(1).holdingOut(3), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            for (TrainingData.Batch batch : List.of(data.batch(3, 9), data.examples(4), data.heldOut(0, 3))) {
                float[] expected = new float[(int) batch.items().size(0)];
                List<Integer> numbers = numbers(batch);
                IntStream.range(0, expected.length).forEach(i -> expected[i] = numbers.get(i) * 0.5f);
                assertArrayEquals(
                        expected, Objects.requireNonNull(batch.weights()).toFloatArray());
            }
        }
    }

    @Test
    void wrongItemsAreRefusedAndClosed() {
        Points strange = new Points() {
            @Override
            public int label(int index) {
                return index == 7 ? 3 : 0;
            }
        };
        Refusal.assertRefused(() -> open(strange, 0).close(), "item 7 has label 3, expected 0 to 2");
        Points flipped = new Points();
        Refusal.assertRefused(
                () -> new Loader(flipped, 1, new Reading(0, 0, true, false, 0), Device.CPU).close(),
                "cannot be mirrored");
        Points twice = new Points() {
            @Override
            public int[] heldOut(int count) {
                return new int[] {1, 1};
            }
        };
        Refusal.assertRefused(
                () -> new Loader(twice, 1, Reading.of(0).holdingOut(2), Device.CPU).close(), "item 1 is held out");
        assertArrayEquals(new int[] {1, 1, 1}, new int[] {strange.closed, flipped.closed, twice.closed});
    }

    @Test
    void aClosedLoaderGivesNothing() throws IOException {
        for (Items items : List.of(new Points(), new Resident())) {
            Loader data = open(items, 0);
            numbers(data, 0, 3);
            data.close();
            Refusal.assertRefused(IllegalStateException.class, () -> numbers(data, 3, 3), "");
        }
    }

    /** By default some items of each class are held out. */
    @Test
    void heldOutItemsAreOfEachClass() throws IOException {
        try (Loader data = new Loader(new Points(), 4, Reading.of(0).holdingOut(6), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            long[] labels = data.heldOut(0, 6).labels().toLongArray();
            Arrays.sort(labels);
            assertArrayEquals(new long[] {0, 0, 1, 1, 2, 2}, labels);
            Set<Integer> held = new HashSet<>(numbers(data.heldOut(0, 6)));
            assertTrue(numbers(data, 0, 2 * COUNT).stream().noneMatch(held::contains));
        }
    }
}
