package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;

/** Derives seeds of separate streams from one seed. */
public final class Seeds {
    /** The stream of a run's weights and noise. Streams of data are numbered from 0 up; all others are negative. */
    public static final long NOISE = -1;

    private Seeds() {}

    /**
     * Opens the random source of a stream. On the CPU only the low half of the mixed seed is used, so that runs repeat
     * the numbers of earlier versions; the mix uses all 64 bits of the seed.
     */
    public static RandomSource source(long seed, long stream, Device device) {
        long mixed = of(seed, stream);
        return RandomSource.seeded(device.type() == Device.Type.CPU ? mixed & 0xffff_ffffL : mixed, device);
    }

    /** Returns a seed that differs between streams as if random (the finaliser of SplitMix64). */
    public static long of(long seed, long stream) {
        long mixed = seed + (stream + 1) * 0x9E3779B97F4A7C15L;
        mixed = (mixed ^ (mixed >>> 30)) * 0xBF58476D1CE4E5B9L;
        mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
        return mixed ^ (mixed >>> 31);
    }
}
