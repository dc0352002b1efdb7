"""Events of long recordings: `detector` hears one, `job` folders of them."""
