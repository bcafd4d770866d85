package org.metaflowmaps.models.layer;

import java.util.Arrays;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.global.torch;
import org.metaflowmaps.bindings.Operator;
import org.metaflowmaps.bindings.StableAbi;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * libtorch's forward mode, the reference for {@link Dual}: while it is open, tensors can have tangents that every
 * operator propagates. Attention then uses its plain formula, because the fused kernel has no forward rule.
 */
public final class ForwardMode implements AutoCloseable {
    private static final Operator MAKE = Operator.of("aten::_make_dual", "", 3, 1);
    private static final Operator UNPACK = Operator.of("aten::_unpack_dual", "", 2, 2);

    private final long level = torch.enter_dual_level();
    private final PlainAttention plain = new PlainAttention();

    /** Attention by its plain formula instead of the fused kernel while this is open. */
    public static final class PlainAttention implements AutoCloseable {
        private final Context settings = torch.globalContext();
        private final boolean before = settings.userEnabledFlashSDP();

        public PlainAttention() {
            settings.setSDPUseFlash(false);
        }

        @Override
        public void close() {
            settings.setSDPUseFlash(before);
        }
    }

    /** A tensor object on a handle of the C ABI; it does not own the handle. */
    private static final class Borrowed extends org.bytedeco.pytorch.Tensor {
        @SuppressWarnings("this-escape")
        Borrowed(long handle) {
            super((Pointer) null);
            address = handle;
        }
    }

    /** Returns a value with a tangent. */
    public Tensor dual(Tensor value, Tensor tangent) {
        long handle = MAKE.call()
                .tensor(JavaCpp.unwrap(value).address())
                .tensor(JavaCpp.unwrap(tangent).address())
                .int64(level)
                .invoke();
        try {
            return JavaCpp.wrap(new Borrowed(handle));
        } finally {
            StableAbi.delete(handle);
        }
    }

    /** Returns a value's tangent; zeros if it has none. */
    public Tensor tangent(Tensor value) {
        long[] handles = UNPACK.call()
                .tensor(JavaCpp.unwrap(value).address())
                .int64(level)
                .invokeAll();
        try {
            Borrowed tangent = new Borrowed(handles[1]);
            return tangent.defined() ? JavaCpp.wrap(tangent) : Torch.zerosLike(value);
        } finally {
            Arrays.stream(handles).filter(handle -> handle != 0).forEach(StableAbi::delete);
        }
    }

    @Override
    public void close() {
        plain.close();
        torch.exit_dual_level(level);
    }
}
