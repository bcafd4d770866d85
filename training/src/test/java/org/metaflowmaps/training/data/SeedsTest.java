package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

final class SeedsTest {
    /** Otherwise a run would draw its noise from the numbers that chose its data. */
    @Test
    void aRunsNoiseAndItsDataHaveStreamsOfTheirOwn() {
        for (long seed : new long[] {-1, 0, 1, 42, Long.MAX_VALUE}) {
            LongStream all = LongStream.concat(LongStream.of(Seeds.NOISE), LongStream.range(0, 10_000))
                    .map(stream -> Seeds.of(seed, stream));
            assertEquals(10_001, all.distinct().count());
        }
    }
}
