from ._comparison import write_report as write_report
from ._reproduced import write_page as write_page
from ._sweep_page import SweepPage as SweepPage
from ._sweep_page import make_page as make_page
from ._sweep_page import write_sweep as write_sweep
from ._theory_pages import against_p_page as against_p_page
from ._theory_pages import beside_run_page as beside_run_page
from ._theory_pages import fraction_page as fraction_page
