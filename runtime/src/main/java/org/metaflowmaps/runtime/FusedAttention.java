package org.metaflowmaps.runtime;

import java.lang.ref.Reference;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.metaflowmaps.bindings.Call;
import org.metaflowmaps.bindings.Operator;
import org.metaflowmaps.bindings.StableAbi;

/**
 * The fused operators among which libtorch's scaled_dot_product_attention chooses. Called directly, they also return the log-sum-exp of the
 * scores. Gradients are those of scaled_dot_product_attention, because it records the same operators.
 */
final class FusedAttention {
    private static final String NAME = "fusedAttention";

    /** libtorch's SDPBackend; 0 is the formula of single operators. */
    private static final int FLASH_CHOICE = 1;

    private static final int EFFICIENT_CHOICE = 2;
    private static final int CUDNN_CHOICE = 3;

    private static final Operator CHOICE = Operator.of("aten::_fused_sdp_choice", "", 8, 1);
    private static final Operator FLASH_CPU =
            Operator.of("aten::_scaled_dot_product_flash_attention_for_cpu", "", 7, 2);
    private static final Operator EFFICIENT = Operator.of("aten::_scaled_dot_product_efficient_attention", "", 8, 4);

    private FusedAttention() {}

    static Torch.Attention of(Tensor query, Tensor key, Tensor value) {
        Operands.attention(NAME, query, key, value);
        AttentionBackend.prepare(query.device());
        TensorScope.innermost(); // refuses if no scope is open to hold the results
        try (ThreadState call = ThreadState.enter(query, key, value)) {
            // The last case is also that of operands of several types, which this operator refuses.
            return switch (choice(query, key, value)) {
                case FLASH_CHOICE -> flash(query, key, value);
                case EFFICIENT_CHOICE -> efficient(query, key, value);
                case CUDNN_CHOICE -> cudnn(query, key, value);
                default -> new Torch.Attention(Torch.scaledDotProductAttention(query, key, value), null);
            };
        } catch (TensorException e) {
            throw e;
        } catch (RuntimeException e) {
            throw TensorException.of(NAME, e, query, key, value);
        } finally {
            Reference.reachabilityFence(query);
            Reference.reachabilityFence(key);
            Reference.reachabilityFence(value);
        }
    }

    /** Returns the operator that scaled_dot_product_attention would choose; 0 where its result has no log-sum-exp. */
    private static int choice(Tensor query, Tensor key, Tensor value) {
        if (!isLike(query, key) || !isLike(query, value)) {
            return 0;
        }
        int choice = (int) operands(CHOICE, query, key, value)
                .none()
                .float64(0)
                .bool(false)
                .none()
                .bool(false)
                .invokeAll()[0];
        // On GPUs scaled_dot_product_attention pads other widths.
        boolean padded = choice == FLASH_CHOICE && query.device().type() == Device.Type.CUDA && query.size(3) % 8 != 0;
        return padded ? 0 : choice;
    }

    private static Torch.Attention flash(Tensor query, Tensor key, Tensor value) {
        if (query.device().type() == Device.Type.CUDA) {
            try (IValue scale = new IValue();
                    IValue dropout = new IValue(0.0);
                    IValue no = new IValue(false)) {
                return boxed(Boxed.FLASH, query, key, value, dropout, no, no, scale);
            }
        }
        return result(
                operands(FLASH_CPU, query, key, value)
                        .float64(0)
                        .bool(false)
                        .none()
                        .none()
                        .invokeFirst(2),
                query);
    }

    private static Torch.Attention efficient(Tensor query, Tensor key, Tensor value) {
        return result(
                operands(EFFICIENT, query, key, value)
                        .none()
                        .bool(true)
                        .float64(0)
                        .bool(false)
                        .none()
                        .invokeFirst(2),
                query);
    }

    private static Torch.Attention cudnn(Tensor query, Tensor key, Tensor value) {
        try (IValue none = new IValue();
                IValue dropout = new IValue(0.0);
                IValue yes = new IValue(true);
                IValue no = new IValue(false)) {
            return boxed(Boxed.CUDNN, query, key, value, none, yes, dropout, no, no, none);
        }
    }

    /**
     * Operators for {@link OperatorHandle#callBoxed}. libtorch 2.13's C ABI confuses the types of their results, which are tensors and
     * numbers: it reads the types of results in reverse order.
     */
    private static final class Boxed {
        static final OperatorHandle FLASH = find("aten::_scaled_dot_product_flash_attention");
        static final OperatorHandle CUDNN = find("aten::_scaled_dot_product_cudnn_attention");

        private static OperatorHandle find(String name) {
            return Dispatcher.singleton().findSchemaOrThrow(name, "");
        }
    }

    private static Torch.Attention boxed(
            OperatorHandle operator, Tensor query, Tensor key, Tensor value, IValue... settings) {
        try (IValue q = new IValue(query.unwrap());
                IValue k = new IValue(key.unwrap());
                IValue v = new IValue(value.unwrap());
                IValueVector stack = new IValueVector(3L + settings.length)) {
            stack.put(0, q).put(1, k).put(2, v);
            for (int i = 0; i < settings.length; i++) {
                stack.put(3 + i, settings[i]);
            }
            operator.callBoxed(stack);
            return result(
                    Tensor.wrap(stack.get(0).toTensor()),
                    Tensor.wrap(stack.get(1).toTensor()),
                    query);
        }
    }

    private static boolean isLike(Tensor query, Tensor other) {
        return query.dtype() == other.dtype() && query.device().equals(other.device());
    }

    private static Call operands(Operator operator, Tensor query, Tensor key, Tensor value) {
        return operator.call().tensor(query.handle()).tensor(key.handle()).tensor(value.handle());
    }

    private static Torch.Attention result(long[] handles, Tensor query) {
        Tensor output;
        try {
            output = Torch.fromHandle(handles[0]);
        } catch (RuntimeException | Error e) {
            StableAbi.delete(handles[1]);
            throw e;
        }
        return result(output, Torch.fromHandle(handles[1]), query);
    }

    private static Torch.Attention result(Tensor output, Tensor sums, Tensor query) {
        long queries = query.size(2);
        // Of the efficient operator padded to a multiple of 32 queries, of cuDNN's (B, H, L, 1).
        Tensor dense = sums.dim() == 4 ? sums.squeeze(3) : sums;
        return new Torch.Attention(output, dense.size(2) == queries ? dense : dense.narrow(2, 0, queries));
    }
}
