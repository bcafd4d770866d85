package org.metaflowmaps.runtime;

import java.util.Locale;
import java.util.Optional;

/** The element types of this library, with libtorch's codes ({@code c10::ScalarType}) and safetensors' names. */
public enum DType {
    /** One byte, 0 to 255. */
    UINT8(0, 1, "U8"),
    /** One signed byte. */
    INT8(1, 1, "I8"),
    /** Two signed bytes. */
    INT16(2, 2, "I16"),
    /** Four signed bytes. */
    INT32(3, 4, "I32"),
    /** Eight signed bytes; labels and indices. */
    INT64(4, 8, "I64"),
    /** IEEE half precision. */
    FLOAT16(5, 2, "F16"),
    /** IEEE single precision, the default. */
    FLOAT32(6, 4, "F32"),
    /** IEEE double precision. */
    FLOAT64(7, 8, "F64"),
    /** One byte, 0 or 1. */
    BOOL(11, 1, "BOOL"),
    /** The upper half of a float32. */
    BFLOAT16(15, 2, "BF16");

    private static final DType[] BY_CODE = new DType[16];

    static {
        for (DType type : values()) {
            BY_CODE[type.code] = type;
        }
    }

    private final int code;
    private final int bytes;
    private final String safetensorsName;

    DType(int code, int bytes, String safetensorsName) {
        this.code = code;
        this.bytes = bytes;
        this.safetensorsName = safetensorsName;
    }

    /** libtorch's number for this type ({@code c10/core/ScalarType.h}). */
    public int code() {
        return code;
    }

    /** Size of one element in bytes. */
    public int bytes() {
        return bytes;
    }

    /** True for float16, bfloat16, float32 and float64. */
    public boolean isFloatingPoint() {
        return this == FLOAT32 || this == FLOAT64 || this == FLOAT16 || this == BFLOAT16;
    }

    /** The name this type has in a safetensors header. */
    public String safetensorsName() {
        return safetensorsName;
    }

    /** The type of that name in a safetensors header, or nothing if this library has no such type. */
    public static Optional<DType> ofSafetensorsName(String name) {
        for (DType type : BY_CODE) {
            if (type != null && type.safetensorsName.equals(name)) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }

    /**
     * The type with that libtorch code.
     *
     * @throws IllegalArgumentException if this library does not support that code
     */
    public static DType ofCode(int code) {
        if (code < 0 || code >= BY_CODE.length || BY_CODE[code] == null) {
            throw new IllegalArgumentException(
                    "libtorch's element type " + code + " is not supported here: convert the tensor to one of uint8,"
                            + " int8, int16, int32, int64, float16, bfloat16, float32,"
                            + " float64, bool first");
        }
        return BY_CODE[code];
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
