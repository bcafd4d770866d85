package org.metaflowmaps.bindings;

/**
 * The type of one argument or result of an operator.
 *
 * @param kind the type of a value, or of a list's elements
 * @param list whether it is a list
 * @param optional whether the value may be none
 * @param optionalElements whether elements of the list may be none
 * @param text the type as written in the schema
 */
record Slot(Kind kind, boolean list, boolean optional, boolean optionalElements, String text) {
    /** The types that the stable C ABI can pass; all others, such as Scalar, are {@link #OTHER}. */
    enum Kind {
        TENSOR,
        INT,
        FLOAT,
        BOOL,
        SCALAR_TYPE,
        DEVICE,
        LAYOUT,
        MEMORY_FORMAT,
        STRING,
        OTHER
    }

    /** Reads a schema type such as {@code int[]?} or {@code Tensor?[]}. */
    static Slot parse(String text) {
        String rest = text;
        boolean optional = rest.endsWith("?");
        if (optional) {
            rest = rest.substring(0, rest.length() - 1);
        }
        boolean list = rest.endsWith("[]");
        if (list) {
            rest = rest.substring(0, rest.length() - 2);
        }
        boolean optionalElements = list && rest.endsWith("?");
        if (optionalElements) {
            rest = rest.substring(0, rest.length() - 1);
        }
        Kind kind = switch (rest) {
            case "Tensor" -> Kind.TENSOR;
            case "int", "SymInt" -> Kind.INT;
            case "float" -> Kind.FLOAT;
            case "bool" -> Kind.BOOL;
            case "ScalarType" -> Kind.SCALAR_TYPE;
            case "Device" -> Kind.DEVICE;
            case "Layout" -> Kind.LAYOUT;
            case "MemoryFormat" -> Kind.MEMORY_FORMAT;
            case "str" -> Kind.STRING;
            default -> Kind.OTHER;
        };
        return new Slot(kind, list, optional, optionalElements, text);
    }

    boolean isTensor() {
        return kind == Kind.TENSOR && !list && !optional;
    }
}
