package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

/** The preferred attention is the one that libtorch launches; the pretend device has no cuDNN. */
@Pretend
final class AttentionPretendTest {
    private static final Device GPU = Device.cuda(0);

    @AfterEach
    void restore() {
        AttentionBackend.AUTO.prefer();
    }

    /** The trial before the first attention succeeds in any mode of the caller. */
    @Test
    void theTrialDoesNotDependOnTheCallersMode() {
        GPU.available();
        long before = NativeMemory.liveTensors();
        assertEquals(Optional.empty(), inTrial(AttentionBackend.FLASH));
        assertEquals(before, NativeMemory.liveTensors());
        // cuDNN's is not there, so libtorch takes the next one.
        assertEquals(Optional.empty(), inTrial(AttentionBackend.CUDNN));
    }

    private static Optional<String> inTrial(AttentionBackend backend) {
        List<Optional<String>> found = new ArrayList<>();
        try (Autograd.Mode off = Autograd.inference()) {
            AttentionBackend.join(Thread.ofPlatform().start(() -> found.add(backend.failure(GPU))));
        }
        return found.getFirst();
    }

    private static long launches(DType type) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor input = Torch.zeros(type, GPU, 2, 4, 64, 64);
            Torch.scaledDotProductAttention(input, input, input);
            PretendCuda.Counters counted =
                    PretendCuda.count(() -> Torch.scaledDotProductAttention(input, input, input));
            assertEquals(0, counted.hostReads(), "tried once, before");
            return counted.launches() + counted.products();
        }
    }

    @Test
    void thePreferredOneIsUsedIfItTakesTheOperands() {
        assertEquals(1, launches(DType.BFLOAT16));
        AttentionBackend.MATH.prefer();
        assertTrue(launches(DType.BFLOAT16) > 3);
        AttentionBackend.EFFICIENT.prefer();
        assertEquals(1, launches(DType.BFLOAT16));
        AttentionBackend.FLASH.prefer();
        assertEquals(1, launches(DType.BFLOAT16));
        assertEquals(1, launches(DType.FLOAT32), "flash attention takes no float32, so the next one is used");
        AttentionBackend.CUDNN.prefer();
        assertEquals(1, launches(DType.BFLOAT16), "not available, so the next one is used");
    }
}
