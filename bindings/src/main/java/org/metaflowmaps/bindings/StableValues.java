package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;

/** Makes and frees the objects that a {@code StableIValue} slot points to: lists, strings and boxed optionals. */
final class StableValues {
    private static final Ffm LIBTORCH = Libtorch.functions();
    private static final FunctionDescriptor ONE = FunctionDescriptor.of(JAVA_INT, JAVA_LONG);

    private static final MethodHandle NEW_LIST =
            LIBTORCH.bind("torch_new_list_reserve_size", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS));
    private static final MethodHandle PUSH_BACK =
            LIBTORCH.bind("torch_list_push_back", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle LIST_SIZE =
            LIBTORCH.bind("torch_list_size", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS));
    private static final MethodHandle LIST_ITEM =
            LIBTORCH.bind("torch_list_get_item", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, ADDRESS));
    private static final MethodHandle DELETE_LIST = LIBTORCH.bind("torch_delete_list", ONE);
    private static final MethodHandle NEW_STRING =
            LIBTORCH.bind("torch_new_string_handle", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS));
    private static final MethodHandle DELETE_STRING = LIBTORCH.bind("torch_delete_string", ONE);
    private static final MethodHandle NEW_VALUE =
            LIBTORCH.bind("torch_new_stable_ivalue", FunctionDescriptor.of(JAVA_INT, ADDRESS));
    private static final MethodHandle DELETE_VALUE = LIBTORCH.bind("torch_delete_stable_ivalue", ONE);

    private StableValues() {}

    /** Makes a list of the given slots, and frees it if an element cannot be made. */
    static long list(Slot slot, long[] elements) {
        MemorySegment out = Scratch.slot();
        long list;
        try {
            StableAbi.check((int) NEW_LIST.invokeExact((long) elements.length, out), "torch_new_list_reserve_size");
            list = out.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        try {
            for (long element : elements) {
                push(list, slot, element);
            }
        } catch (RuntimeException e) {
            releaseList(slot, list);
            throw e;
        }
        return list;
    }

    private static void push(long list, Slot slot, long element) {
        long value = slot.optionalElements() && element == 0 ? 0 : single(slot, element);
        if (slot.optionalElements() && value != 0) {
            value = box(value);
        }
        try {
            StableAbi.check((int) PUSH_BACK.invokeExact(list, value), "torch_list_push_back");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Returns the slot for a value other than a list: a new handle for a tensor, the unchanged bits for a number. */
    static long single(Slot slot, long bits) {
        return slot.kind() == Slot.Kind.TENSOR ? StableAbi.newHandle(bits) : bits;
    }

    /** A string ({@code torch_new_string_handle}). */
    static long string(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        MemorySegment out = Scratch.slot();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(bytes.length + 1L).copyFrom(MemorySegment.ofArray(bytes));
            StableAbi.check((int) NEW_STRING.invokeExact(data, (long) bytes.length, out), "torch_new_string_handle");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        return out.get(JAVA_LONG, 0);
    }

    /** Copies a slot to new memory, because libtorch takes an optional with a value by its address. */
    static long box(long value) {
        MemorySegment out = Scratch.slot();
        try {
            StableAbi.check((int) NEW_VALUE.invokeExact(out), "torch_new_stable_ivalue");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        long box = out.get(JAVA_LONG, 0);
        boxed(box).set(JAVA_LONG, 0, value);
        return box;
    }

    /** Copies a list's slots and frees the list; the caller owns the elements. */
    static long[] take(long list) {
        MemorySegment out = Scratch.slot();
        try {
            StableAbi.check((int) LIST_SIZE.invokeExact(list, out), "torch_list_size");
            long[] items = new long[Math.toIntExact(out.get(JAVA_LONG, 0))];
            for (int i = 0; i < items.length; i++) {
                StableAbi.check((int) LIST_ITEM.invokeExact(list, (long) i, out), "torch_list_get_item");
                items[i] = out.get(JAVA_LONG, 0);
            }
            StableAbi.check((int) DELETE_LIST.invokeExact(list), "torch_delete_list");
            return items;
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Frees a slot and everything it owns; a number owns nothing. */
    static void release(Slot slot, long value) {
        if (slot.optional()) {
            if (value != 0) {
                releasePresent(slot, unbox(value));
            }
        } else {
            releasePresent(slot, value);
        }
    }

    private static void releasePresent(Slot slot, long value) {
        if (slot.list()) {
            releaseList(slot, value);
        } else {
            releaseSingle(slot, value);
        }
    }

    private static void releaseList(Slot slot, long list) {
        for (long item : take(list)) {
            if (!slot.optionalElements()) {
                releaseSingle(slot, item);
            } else if (item != 0) {
                releaseSingle(slot, unbox(item));
            }
        }
    }

    private static void releaseSingle(Slot slot, long value) {
        if (slot.kind() == Slot.Kind.TENSOR) {
            StableAbi.delete(value);
        } else if (slot.kind() == Slot.Kind.STRING) {
            try {
                StableAbi.check((int) DELETE_STRING.invokeExact(value), "torch_delete_string");
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }
    }

    private static long unbox(long box) {
        long value = boxed(box).get(JAVA_LONG, 0);
        try {
            StableAbi.check((int) DELETE_VALUE.invokeExact(box), "torch_delete_stable_ivalue");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        return value;
    }

    private static MemorySegment boxed(long box) {
        return MemorySegment.ofAddress(box).reinterpret(8);
    }
}
