package org.metaflowmaps.runtime;

import java.lang.ref.Reference;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
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
    private static final long FLASH_CHOICE = 1;

    private static final long EFFICIENT_CHOICE = 2;
    private static final long CUDNN_CHOICE = 3;

    private static final Operator CHOICE = Operator.of("aten::_fused_sdp_choice", "", 8, 1);
    private static final Operator FLASH_CPU =
            Operator.of("aten::_scaled_dot_product_flash_attention_for_cpu", "", 7, 2);
    private static final Operator FLASH = Operator.of("aten::_scaled_dot_product_flash_attention", "", 7, 9);
    private static final Operator EFFICIENT = Operator.of("aten::_scaled_dot_product_efficient_attention", "", 8, 4);
    private static final Operator CUDNN = Operator.of("aten::_scaled_dot_product_cudnn_attention", "", 9, 9);

    private FusedAttention() {}

    static Torch.Attention of(Tensor query, Tensor key, Tensor value) {
        Operands.attention(NAME, query, key, value);
        TensorScope.innermost(); // refuses if no scope is open to hold the results
        try (ThreadState call = ThreadState.enter(query, key, value)) {
            Call fused = chosen(query, key, value);
            // Where no operator returns a log-sum-exp, and for errors, which this operator explains.
            return fused == null
                    ? new Torch.Attention(Torch.scaledDotProductAttention(query, key, value), null)
                    : result(fused.invokeFirst(2), query);
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

    /** Returns the call of the operator that scaled_dot_product_attention would choose; null if none of them is for it. */
    private static @Nullable Call chosen(Tensor query, Tensor key, Tensor value) {
        if (!isLike(query, key) || !isLike(query, value)) {
            return null;
        }
        boolean cpu = query.device().type() == Device.Type.CPU;
        long choice = operands(CHOICE, query, key, value)
                .none()
                .float64(0)
                .bool(false)
                .none()
                .bool(false)
                .invokeAll()[0];
        if (choice == FLASH_CHOICE && cpu) {
            return operands(FLASH_CPU, query, key, value)
                    .float64(0)
                    .bool(false)
                    .none()
                    .none();
        }
        // Other widths need padding, which scaled_dot_product_attention adds.
        if (choice == FLASH_CHOICE && query.size(3) % 8 == 0) {
            return operands(FLASH, query, key, value)
                    .float64(0)
                    .bool(false)
                    .bool(false)
                    .optionalFloat64(OptionalDouble.empty());
        }
        if (choice == EFFICIENT_CHOICE) {
            return operands(EFFICIENT, query, key, value)
                    .none()
                    .bool(true)
                    .float64(0)
                    .bool(false)
                    .none();
        }
        if (choice == CUDNN_CHOICE) {
            return operands(CUDNN, query, key, value)
                    .none()
                    .bool(true)
                    .float64(0)
                    .bool(false)
                    .bool(false)
                    .none();
        }
        return null;
    }

    private static boolean isLike(Tensor query, Tensor other) {
        return query.dtype() == other.dtype() && query.device().equals(other.device());
    }

    private static Call operands(Operator operator, Tensor query, Tensor key, Tensor value) {
        return operator.call()
                .tensor(query.handle())
                .tensor(key.handle())
                .tensor(value.handle());
    }

    private static Torch.Attention result(long[] handles, Tensor query) {
        Tensor output;
        try {
            output = Torch.fromHandle(handles[0]);
        } catch (RuntimeException | Error e) {
            StableAbi.delete(handles[1]);
            throw e;
        }
        Tensor sums = Torch.fromHandle(handles[1]);
        long queries = query.size(2);
        // Of the efficient operator padded to a multiple of 32 queries, of cuDNN's (B, H, L, 1).
        Tensor dense = sums.dim() == 4 ? sums.squeeze(3) : sums;
        return new Torch.Attention(output, dense.size(2) == queries ? dense : dense.narrow(2, 0, queries));
    }
}
