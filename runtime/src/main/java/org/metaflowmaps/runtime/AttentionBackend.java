package org.metaflowmaps.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.LongVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.SDPBackend;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The implementation of fused attention that libtorch prefers on GPUs; the CPU's is not affected. The system property
 * {@code org.metaflowmaps.attention} names it: {@code auto}, {@code cudnn}, {@code flash}, {@code efficient} or {@code math}.
 *
 * <p>libtorch uses the first one in its order that takes the operands' types and sizes. Before a GPU's first attention the
 * choice is tried on small operands; if it fails or gives other results than single operators, the next one is preferred.
 */
enum AttentionBackend {
    /** libtorch's own order: cuDNN's first on GPUs of compute capability 9.0 and 10.0, else flash attention. */
    AUTO,
    CUDNN,
    FLASH,
    EFFICIENT,
    MATH;

    static final String PROPERTY = "org.metaflowmaps.attention";

    private static final Logger LOG = LoggerFactory.getLogger(AttentionBackend.class);
    private static final Map<Device, AttentionBackend> CHOSEN = new ConcurrentHashMap<>();
    /** In bfloat16 the results of two implementations differ by a few roundings. */
    private static final double TOLERANCE = 0.05;

    /** Returns the backend that a property's value names. */
    static AttentionBackend parse(String name) {
        return Arrays.stream(values())
                .filter(one -> one.name().toLowerCase(Locale.ROOT).equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the system property " + PROPERTY + " is '" + name
                        + "': use auto, cudnn, flash, efficient or math"));
    }

    /** Chooses before a device's first attention; the first call reads from the device, and others wait for it. */
    static void prepare(Device device) {
        if (device.type() == Device.Type.CUDA && !CHOSEN.containsKey(device)) {
            CHOSEN.computeIfAbsent(device, AttentionBackend::tried);
        }
    }

    private static AttentionBackend tried(Device device) {
        AttentionBackend wanted = parse(System.getProperty(PROPERTY, "auto"));
        AtomicReference<AttentionBackend> chosen = new AtomicReference<>(MATH);
        // On a thread of its own, because the caller's may be in inference mode or under autocast.
        Thread trial = Thread.ofPlatform()
                .name("attention trial")
                .start(() -> chosen.set(choose(wanted, backend -> backend.failure(device))));
        join(trial);
        return chosen.get();
    }

    static void join(Thread trial) {
        boolean interrupted = false;
        while (trial.isAlive()) {
            try {
                trial.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * Returns the first backend that works: the wanted one, else flash, memory-efficient, single operators.
     *
     * @param failure tries a backend, which is preferred afterwards; returns why it does not work, if so
     */
    static AttentionBackend choose(AttentionBackend wanted, Function<AttentionBackend, Optional<String>> failure) {
        List<AttentionBackend> candidates = new ArrayList<>(List.of(FLASH, EFFICIENT, MATH));
        candidates.remove(wanted);
        candidates.addFirst(wanted);
        for (AttentionBackend candidate : candidates) {
            Optional<String> reason = failure.apply(candidate);
            if (reason.isEmpty()) {
                return candidate;
            }
            LOG.warn(
                    "Attention by {} does not work on this device, so another one is used: {}",
                    candidate.name().toLowerCase(Locale.ROOT),
                    reason.get());
        }
        return MATH;
    }

    Optional<String> failure(Device device) {
        try (TensorScope scope = TensorScope.open()) {
            if (this != AUTO) {
                // libtorch's first choice sets its own order, which would replace one that was set before.
                attend(operand(device));
                prefer();
            }
            Tensor input = operand(device).requiresGrad_(true);
            Tensor output = attend(input);
            Autograd.backward(output.sum());
            Tensor exact = input.to(DType.FLOAT32);
            // Without products of matrices, for which this thread would get a workspace of cuBLAS that stays.
            Tensor scores = exact.unsqueeze(3).mul(exact.unsqueeze(2)).sum(-1);
            Tensor weights = scores.mul(1 / Math.sqrt((double) exact.size(-1))).softmax(-1);
            Tensor expected = weights.unsqueeze(4).mul(exact.unsqueeze(2)).sum(3);
            Tensor apart = output.to(DType.FLOAT32).sub(expected).abs().max();
            return apart.le(TOLERANCE).item() != 0
                    ? Optional.empty()
                    : Optional.of("its results differ from those of single operators");
        } catch (RuntimeException e) {
            return Optional.of(e.toString());
        }
    }

    private static Tensor attend(Tensor input) {
        return Torch.preferredAttention(input, input, input);
    }

    private static Tensor operand(Device device) {
        return Torch.arange(2 * 64 * 64)
                .to(device)
                .to(DType.FLOAT32)
                .mul(0.37)
                .sin()
                .to(DType.BFLOAT16)
                .view(Shape.of(1, 2, 64, 64));
    }

    /** Makes libtorch prefer this one, for all devices. */
    void prefer() {
        List<SDPBackend> order = new ArrayList<>(List.of(
                SDPBackend.flash_attention,
                SDPBackend.efficient_attention,
                SDPBackend.math,
                SDPBackend.cudnn_attention,
                SDPBackend.overrideable));
        SDPBackend first = switch (this) {
            case CUDNN -> SDPBackend.cudnn_attention;
            case EFFICIENT -> SDPBackend.efficient_attention;
            case MATH -> SDPBackend.math;
            case AUTO, FLASH -> SDPBackend.flash_attention;
        };
        order.remove(first);
        order.addFirst(first);
        try (LongVector numbers = new LongVector(
                order.stream().flatMapToLong(one -> LongStream.of(one.value)).toArray())) {
            torch.globalContext().setSDPPriorityOrder(numbers);
        }
    }
}
