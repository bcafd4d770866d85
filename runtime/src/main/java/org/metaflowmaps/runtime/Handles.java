package org.metaflowmaps.runtime;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.bytedeco.javacpp.BoolPointer;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.metaflowmaps.bindings.Libtorch;

/** Small native objects that operators take besides tensors; immutable, made once, shared and never freed. */
final class Handles {
    static final ScalarTypeOptional NO_TYPE;
    static final MemoryFormatOptional NO_FORMAT;
    static final TensorOptional NO_TENSOR;
    static final BoolOptional UNSET;
    static final BoolOptional SET;
    /** The order of the Euclidean norm. */
    static final ScalarOptional TWO;
    /** Output mask of a normalisation's backward operator: only the gradient of its input. */
    static final BoolPointer ONLY_FIRST;

    private static final Map<DType, ScalarType> SCALAR_TYPES = new EnumMap<>(DType.class);
    private static final Map<Place, TensorOptions> OPTIONS = new ConcurrentHashMap<>();
    private static final Map<Device, org.bytedeco.pytorch.Device> DEVICES = new ConcurrentHashMap<>();

    /** Scalars by hash. A slot is filled once and kept, so constants are not created again for each call. */
    private static final Constant[] CONSTANTS = new Constant[1024];

    static {
        Libtorch.load();
        NO_TYPE = new ScalarTypeOptional();
        NO_FORMAT = new MemoryFormatOptional();
        NO_TENSOR = new TensorOptional();
        UNSET = new BoolOptional();
        SET = new BoolOptional(true);
        TWO = new ScalarOptional(new Scalar(2.0));
        ONLY_FIRST = new BoolPointer(3).put(0, true).put(1, false).put(2, false);
        for (DType type : DType.values()) {
            for (ScalarType candidate : ScalarType.values()) {
                if (candidate.value == type.code()) {
                    SCALAR_TYPES.put(type, candidate);
                }
            }
        }
    }

    private Handles() {}

    /** Loads libtorch, by loading this class. */
    static void initialise() {}

    private record Place(DType type, Device device) {
        Place {
            Objects.requireNonNull(type, "the element type is null");
            Objects.requireNonNull(device, "the device is null");
        }
    }

    private record Constant(double value, Scalar scalar) {}

    static ScalarType scalarType(DType type) {
        return Objects.requireNonNull(SCALAR_TYPES.get(type));
    }

    static TensorOptions options(DType type, Device device) {
        return OPTIONS.computeIfAbsent(new Place(type, device), place -> {
            try (TensorOptions typed = new TensorOptions(scalarType(place.type()));
                    DeviceOptional where = new DeviceOptional(device(place.device()))) {
                return typed.device(where);
            }
        });
    }

    static org.bytedeco.pytorch.Device device(Device device) {
        return DEVICES.computeIfAbsent(device, wanted -> switch (wanted.available()
                .type()) {
            case CPU -> new org.bytedeco.pytorch.Device(DeviceType.CPU);
            case CUDA -> new org.bytedeco.pytorch.Device(DeviceType.CUDA, (byte) wanted.index());
        });
    }

    /**
     * Calls {@code body} with a native scalar: a shared one if the value has a slot, else one that is freed after the
     * call.
     */
    static <T> T withScalar(double value, Function<Scalar, T> body) {
        long bits = Double.doubleToRawLongBits(value);
        int slot = (int) ((bits * 0x9E3779B97F4A7C15L) >>> 54);
        Constant constant = CONSTANTS[slot];
        if (constant == null) {
            constant = fill(slot, value);
        }
        if (Double.doubleToRawLongBits(constant.value) == bits) {
            return body.apply(constant.scalar);
        }
        try (Scalar scalar = new Scalar(value)) {
            return body.apply(scalar);
        }
    }

    /** Fills a slot under a lock; otherwise two threads could each make a scalar and one would leak. */
    private static Constant fill(int slot, double value) {
        synchronized (CONSTANTS) {
            Constant constant = CONSTANTS[slot];
            if (constant == null) {
                constant = new Constant(value, new Scalar(value));
                CONSTANTS[slot] = constant;
            }
            return constant;
        }
    }
}
