package org.metaflowmaps.runtime;

import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.global.torch;

/**
 * Turns TF32 in convolutions on GPUs off while it is open, for comparisons with float32 results of other programs.
 *
 * <p>libtorch's default rounds inputs of float32 convolutions on GPUs to 10 bits. The setting is the whole process's:
 * if several are open, closing the last one restores the earlier setting. On the CPU nothing changes.
 */
public final class FullPrecision implements AutoCloseable {
    private static int open;
    private static boolean before;

    private boolean closed;

    private FullPrecision() {}

    /** Turns TF32 off until the result is closed; the caller closes it. */
    public static FullPrecision open() {
        Handles.initialise();
        synchronized (FullPrecision.class) {
            if (open++ == 0) {
                Context settings = torch.globalContext();
                before = settings.allowTF32CuDNN();
                settings.setAllowTF32CuDNN(false);
            }
        }
        return new FullPrecision();
    }

    /** Restores the setting. Idempotent. */
    @Override
    public void close() {
        synchronized (FullPrecision.class) {
            if (!closed) {
                closed = true;
                if (--open == 0) {
                    torch.globalContext().setAllowTF32CuDNN(before);
                }
            }
        }
    }
}
