package org.metaflowmaps.bindings;

/**
 * Sizes of the element types, by the codes that {@code aoti_torch_dtype_*} return (those of {@code c10::ScalarType}).
 */
final class ScalarTypes {
    private ScalarTypes() {}

    /**
     * Bytes of one element.
     *
     * @throws IllegalArgumentException if the code is not one that the C ABI can pass
     */
    static int bytes(int code) {
        return switch (code) {
            case 0, 1, 11, 23, 24, 25, 26, 44, 45 -> 1;
            case 2, 5, 15, 27 -> 2;
            case 3, 6, 8, 28 -> 4;
            case 4, 7, 9, 29 -> 8;
            case 10 -> 16;
            default ->
                throw new IllegalArgumentException("Element type " + code
                        + " is unknown: expected one of the codes of aoti_torch_dtype_*, such as 6 for float32");
        };
    }
}
